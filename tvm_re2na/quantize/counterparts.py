"""What each tensor of the quantised network was in the float model: another name, channels times numbers of their own, or nothing.

Normalisations are folded, averages become sums, and equalisation moves scales between layers: in float none of it changes what the
network answers, but much of what lies within. So both float networks run on a few images, as they are given and as they are
quantised, and the factors are measured, not inferred from what was done. The note goes into the model's metadata, for
`re2na debug`.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator, Mapping
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
Values = Mapping[str, npt.NDArray[np.float32]]


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


def copied(net: Net) -> Net:
    """A Net of its own that shares the constants' values."""
    made = copy.copy(net)
    made.constants, made.bounds, made.outputs = dict(net.constants), dict(net.bounds), list(net.outputs)
    made.nodes = [copy.copy(node) for node in net.nodes]
    for node in made.nodes:
        node.inputs, node.outputs, node.attributes = list(node.inputs), list(node.outputs), dict(node.attributes)
    return made


def note_counterparts(
    model: onnx.ModelProto, given: Net, made: Net, plan: QuantizationPlan, images: Calibration
) -> None:
    """Note in `model`, which `made` and `plan` became, how the tensors that it quantises stand to those of `given`.

    What has the same name and the same values is not noted; `null`: a tensor that the float model has none for.
    """
    inputs = set(given.input_names)
    names = [name for name in made.activations() if name in plan.quantised.group_of and name not in inputs]
    known = set(given.activations()) - inputs
    candidates = {name: [other for other in _candidates(given, name) if other in known] for name in names}
    before = _values(given, list(dict.fromkeys(other for others in candidates.values() for other in others)), images)
    after = _values(made, names, images)
    notes: dict[str, dict[str, str] | None] = {}
    for name, others in candidates.items():
        found = next((each for other in others if (each := _measured(other, before, after[name])) is not None), None)
        if found is None:
            notes[name] = None
        elif found.name != name or (np.abs(found.factors - 1) > EXACT).any():
            notes[name] = {"is": found.name, "times": base64.b64encode(found.factors.astype("<f4").tobytes()).decode()}
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


def _values(net: Net, names: list[str], images: Calibration) -> Values:
    """On the first images, as many as a batch of the network's takes."""
    (_, batch) = next(batches(net, images[: net.batch or IMAGES]))
    running = session(to_onnx(net, names).SerializeToString())
    return dict(zip(names, running.run(names, by_name(batch, net.input_names)), strict=True)) if names else {}


def _measured(name: str, before: Values, made: npt.NDArray[np.float32]) -> Counterpart | None:
    """None where no factors by channel make the one of the other."""
    given = before[name].astype(np.float64)
    if given.shape != made.shape or given.ndim < 1:
        return None
    axes = tuple(axis for axis in range(given.ndim) if axis != 1)
    energy, common = np.square(given).sum(axes, keepdims=True), (given * made).sum(axes, keepdims=True)
    factors = np.divide(common, energy, out=np.full_like(common, np.nan), where=energy > 0)
    known = factors[np.isfinite(factors)]
    factors[~np.isfinite(factors)] = (
        np.median(known) if known.size else 1.0
    )  # of a channel that is 0 on all of these images
    left = np.square(made - factors * given).sum()
    if not left <= ALIKE * np.square(made, dtype=np.float64).sum():
        return None
    flat = factors.reshape(-1).astype(np.float32)
    return Counterpart(name, flat[:1] if np.allclose(flat, flat[0], rtol=EXACT, atol=0) else flat)
