"""What each tensor of the quantised network was in the float model: another name, channels times numbers of their own, or nothing.

Normalisations are folded, averages become sums, and equalisation moves scales between layers: in float none of it changes what the
network answers, but much of what lies within. So both float networks run on a few images, as they are given and as they are
quantised, and the factors are measured, not inferred from what was done. The note goes into the model's metadata, for
`re2na debug`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na.batches import by_name
from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.observe import batches
from tvm_re2na.quantize.plan import QuantizationPlan

KEY = "re2na.float"  # in the metadata of an ONNX model
IMAGES = 8  # the first ones
BEHIND = 3  # operators behind a tensor that may have been folded into what makes it
ALIKE = 1e-6  # of a tensor's energy: float32 networks that add up in another order
EXACT = 1e-4  # a factor so near to 1 is 1

Factors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Counterpart:
    """A tensor of the float model, and what its channels (axis 1) are multiplied by: (C,), or (1,) for all of them."""

    name: str
    factors: Factors

    def scaled(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The float model's values, as the quantised network has them."""
        return values * self.along(values.ndim)

    def along(self, axes: int) -> Factors:
        """The factors, to be multiplied with data of so many axes."""
        return self.factors.reshape(-1) if axes < 2 else self.factors.reshape(1, -1, *[1] * (axes - 2))


def note_counterparts(
    model: onnx.ModelProto, given: Net, made: Net, plan: QuantizationPlan, images: Calibration
) -> None:
    """Note in `model`, which `made` and `plan` became, how the tensors that it quantises stand to those of `given`.

    What has the same name and the same values is not noted; `null`: a tensor that the float model has none for.
    """
    names = [name for name in made.activations() if name in plan.quantised.group_of and name not in made.input_names]
    known = {name for name in given.activations() if given.shapes.get(name)} - given.integers - {*given.input_names}
    candidates = {name: [other for other in _candidates(given, name) if other in known] for name in names}
    found = _measured(given, made, candidates, images)
    notes: dict[str, dict[str, str] | None] = {}
    for name in names:
        each = found.get(name)
        if each is None:
            notes[name] = None
        elif each.name != name or (np.abs(each.factors - 1) > EXACT).any():
            notes[name] = {"is": each.name, "times": base64.b64encode(each.factors.astype("<f4").tobytes()).decode()}
    if notes:
        model.metadata_props.add(key=KEY, value=json.dumps(notes, sort_keys=True))


def read_counterparts(model: onnx.ModelProto) -> dict[str, Counterpart | None]:
    """What `note_counterparts` has noted; nothing of a note that is damaged, which somebody else has written."""
    text = next((item.value for item in model.metadata_props if item.key == KEY), "{}")
    try:
        return {
            name: None
            if note is None
            else Counterpart(note["is"], np.frombuffer(base64.b64decode(note["times"], validate=True), "<f4"))
            for name, note in json.loads(text).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _candidates(given: Net, name: str) -> Iterator[str]:
    """Itself, then what is made of it alone."""
    for _ in range(BEHIND + 1):
        yield name
        node = given.only_consumer(name)
        if node is None or not node.outputs:
            return
        name = node.output


def _measured(
    given: Net, made: Net, candidates: Mapping[str, Sequence[str]], images: Calibration
) -> dict[str, Counterpart]:
    """For each name the first of its candidates that is it, but for factors."""
    pairs = {(name, other): _Pair() for name, others in candidates.items() for other in others}
    if not pairs:
        return {}
    wanted = [list(dict.fromkeys(pair[side] for pair in pairs)) for side in (0, 1)]
    sessions = [
        session(to_onnx(net, names).SerializeToString()) for net, names in zip((made, given), wanted, strict=True)
    ]
    for _, batch in batches(given, images[:IMAGES]):
        fed = by_name(batch, given.input_names)
        after, before = (
            dict(zip(names, running.run(names, fed), strict=True))
            for running, names in zip(sessions, wanted, strict=True)
        )
        for (name, other), pair in pairs.items():
            pair.add(before[other], after[name])
    found: dict[str, Counterpart] = {}
    for (name, other), pair in pairs.items():
        factors = pair.factors()
        if factors is not None:
            found.setdefault(name, Counterpart(other, factors))
    return found


class _Pair:
    """Sums by channel over two tensors: energy of the given one, what they have in common, energy of the other."""

    def __init__(self) -> None:
        self._sums: npt.NDArray[np.float64] | None = None
        self._alike = True

    def add(self, given: npt.NDArray[np.float32], made: npt.NDArray[np.float32]) -> None:
        self._alike = self._alike and given.shape == made.shape and given.ndim > 1
        if self._alike:
            axes = tuple(axis for axis in range(given.ndim) if axis != 1)
            one, other = given.astype(np.float64), made.astype(np.float64)
            sums = np.stack([(a * b).sum(axes) for a, b in ((one, one), (one, other), (other, other))])
            self._sums = sums if self._sums is None else self._sums + sums

    def factors(self) -> Factors | None:
        """None where no factors by channel make the one of the other."""
        if not self._alike or self._sums is None:
            return None
        energy, common, made = self._sums
        factors = np.divide(common, energy, out=np.full_like(common, np.nan), where=energy > 0)
        known = np.isfinite(factors)
        # of a channel that is 0 on all of these images nothing is known
        factors[~known] = np.median(factors[known]) if known.any() else 1.0
        left = (made - 2 * factors * common + np.square(factors) * energy).sum()
        if not left <= ALIKE * made.sum():
            return None
        flat: Factors = factors.astype(np.float32)
        return flat[:1] if np.allclose(flat, flat[0], rtol=EXACT, atol=0) else flat
