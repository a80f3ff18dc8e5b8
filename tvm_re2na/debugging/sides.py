"""The QDQ model in ONNX Runtime: as a whole, each operator on TVM's integers, and each on the reference's values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from tvm_re2na.batches import Batch, by_name
from tvm_re2na.debugging.measures import integers_of
from tvm_re2na.onnx_form.inputs import own_inputs
from tvm_re2na.onnx_runtime import session
from tvm_re2na.opinion.sections import CutModel, Numbers

Values = dict[str, Numbers]


class QdqRunner:
    """Each operator in float between DequantizeLinear and QuantizeLinear. Results are by name: sections' tensors, outputs."""

    def __init__(self, cut: CutModel) -> None:
        self._cut, self._inputs = cut, list(own_inputs(cut.model))
        self._names = list(dict.fromkeys([*cut.shown, *(section.tensor for section in cut.sections)]))
        self._whole = session(_showing(cut.exposed(), self._names).SerializeToString())
        self._apart = session(cut.apart().SerializeToString())

    def run(self, batch: Batch) -> Values:
        return dict(zip(self._names, self._whole.run(self._names, by_name(batch, self._inputs)), strict=True))

    def given(self, batch: Batch, integers: Mapping[str, Numbers]) -> Values:
        """What every section writes, and what it had before it quantised, where its operands are these integers."""
        sections = self._cut.sections
        reals = [section.quantiser.real for section in sections if section.quantiser is not None]
        names = list(dict.fromkeys([*(section.written for section in sections), *reals]))
        given = {**by_name(batch, self._inputs), **{name: integers[name] for name in self._cut.integers}}
        return dict(zip(names, self._apart.run(names, given), strict=True))


class AloneRunner:
    """Each operator with the reference's values as its operands, rounded to their steps. Operators whose results the reference does
    not have are computed in one with those that read them."""

    def __init__(self, cut: CutModel, known: Mapping[str, object]) -> None:
        self._cut, self._inputs = cut, list(own_inputs(cut.model))
        sections = {section.tensor: section for section in cut.sections}
        self._quantisers = {
            name: quantiser
            for name in cut.integers
            if name in known and (quantiser := sections[name].quantiser) is not None
        }
        self._names = {
            section.tensor: section.written if section.tensor in self._quantisers else section.tensor
            for section in cut.sections
            if section.tensor in known and (section.tensor in self._quantisers or not section.integer)
        }
        self._apart = session(cut.apart(self._quantisers).SerializeToString())

    def run(self, batch: Batch, wanted: Mapping[str, Numbers]) -> Values:
        """By section's tensor, what it would be."""
        kinds = self._cut.integers
        given = {
            name: integers_of(wanted[name], quantiser, onnx.helper.tensor_dtype_to_np_dtype(kinds[name]))
            for name, quantiser in self._quantisers.items()
        }
        found = self._apart.run(list(self._names.values()), {**by_name(batch, self._inputs), **given})
        return {name: np.asarray(value) for name, value in zip(self._names, found, strict=True)}


def _showing(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """With these as outputs."""
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return model
