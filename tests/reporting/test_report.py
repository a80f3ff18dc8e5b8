"""What the steps find of a network that TVM has imported, against each step by itself; and the files for other viewers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.frontends.harness import FrontEnd
from tests.quantize.networks import FloatNet
from tests.shared import folder_of_this_run
from tvm_re2na import pipeline, report
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.reporting import RunReport, run_page
from tvm_re2na.reporting.viewers import PREFIX, annotated, node_data
from tvm_re2na.runtime.report import compile_report

EVIL = '</script><b>"&'


@dataclass(frozen=True)
class Made:
    """A network of two regions with a residual and a name that no page likes; `costs`: the layers of `compile_report`."""

    quantized: onnx.ModelProto
    report: RunReport
    operators: list[Explanation]
    costs: list[dict[str, object]]
    images: np.ndarray


def network() -> tuple[onnx.ModelProto, np.ndarray]:
    net = FloatNet(3, 8)
    first = net.add("Relu", net.conv("input", 3, 8, pads=[1, 1, 1, 1]))
    between = net.add("Sigmoid", first)
    second = net.conv(between, 8, 8, pads=[1, 1, 1, 1])
    net.nodes[-1].name = EVIL
    both = net.add("Add", second, between)
    last = net.add("Flatten", net.conv(both, 8, 4, 8))
    return net.build(last), net.images(24)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, front_end: FrontEnd) -> Made:
    model, images = network()
    folder = tmp_path_factory.mktemp("report")
    onnx.save(model, folder / "net.onnx")
    np.savez(folder / "images.npz", x=images, y=np.zeros(len(images), np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RE2NA_CACHE", str(folder_of_this_run(tmp_path_factory) / "cache"))
        patch.delenv("RE2NA_CACHE_BYTES")
        data = folder / "images.npz"
        found = report(folder / "net.onnx", data, data, limit=5, opinion_images=1)
        quantized = pipeline.quantized_model(onnx.load(folder / "net.onnx"), data, Architecture())
    mod, params = pipeline.import_into_tvm(quantized)
    operators = pipeline.explain(mod, params, Architecture())
    compiled = pipeline.compile_for_re2na(mod, params, Architecture())
    costs = compile_report([program for _, program in compiled.programs])["layers"]
    return Made(quantized, found, operators, costs, images)


def test_layers_are_those_of_explain_and_compile(made: Made) -> None:
    layers = made.report.layers
    told = [(at.name, at.op, at.offloaded, at.region, at.rule, at.value, at.limit) for at in made.operators]
    assert [(at.name, at.op, at.offloaded, at.region, at.rule, at.value, at.limit) for at in layers] == told
    costs = {layer.name: layer.costs for layer in layers if layer.costs is not None}
    assert list(costs) == [row["name"] for row in made.costs]
    for row in made.costs:
        own = vars(costs[str(row["name"])])
        assert {key: own[key] for key in row if key in own} == {key: row[key] for key in row if key in own}
    assert len(made.report.regions) == made.report.total["regions"] >= 2
    assert made.report.total["cycles"] == sum(row["cycles"] for row in made.costs) == made.report.cycles  # type: ignore[misc]


def test_who_reads_whom_and_shapes_follow_from_the_file(made: Made) -> None:
    layers = made.report.layers
    by_kind = {layer.op: index for index, layer in enumerate(layers)}
    added = layers[by_kind["add"]]
    evil = next(index for index, layer in enumerate(layers) if layer.name == EVIL)
    sigmoid = next(index for index, layer in enumerate(layers) if layer.name.startswith("sigmoid"))
    assert added.reads == tuple(sorted((evil, sigmoid)))
    assert layers[evil].reads == (sigmoid,)
    assert (layers[evil].input_shapes, layers[evil].weight_shape, layers[evil].output_shape) == (
        ((1, 8, 8, 8),),
        (8, 8, 3, 3),
        (1, 8, 8, 8),
    )
    assert not layers[sigmoid].offloaded and layers[sigmoid].costs is None
    first, last = layers[0], layers[-1]
    assert first.op.endswith("quantize") and not first.reads and last.op.endswith("dequantize") and last.reads
    assert all(layer.reads for layer in layers[1:]), "everything else reads something"


def test_the_quantisers_numbers_are_with_their_layers(made: Made) -> None:
    told = {layer.name: layer.numbers for layer in made.report.layers if layer.numbers is not None}
    assert EVIL in told and len(told) == 3
    assert all(found.observed_max <= found.limit and found.headroom >= 1 for found in told.values())


def test_an_int8_model_has_a_report_without_them(made: Made, tmp_path: Path) -> None:
    onnx.save(made.quantized, tmp_path / "net.int8.onnx")
    np.savez(tmp_path / "images.npz", x=made.images)
    found = report(
        tmp_path / "net.int8.onnx",
        tmp_path / "images.npz",
        limit=2,
        opinion_images=0,
        batch=2,
        page=tmp_path / "net.html",
    )
    assert found.given_quantized and not any(layer.numbers for layer in found.layers)
    assert found.comparison["bit_identical"] and found.batch == 2
    assert found.cycles == sum(region.cycles for region in found.regions) > found.total["cycles"], "of two images"
    assert found.layers[1].output_shape is not None and found.layers[1].output_shape[0] == 2
    assert "int8 model" in run_page(found) == (tmp_path / "net.html").read_text(encoding="utf-8")


def test_the_document_says_how_it_was_made(made: Made) -> None:
    told = made.report.made
    assert told["call"].startswith("tvm_re2na.report(") and told["limit"] == "5" and told["opinion images"] == "1"
    assert told["calibration"] == "images.npz, 24 images"


def test_the_comparison_is_that_of_compare(made: Made) -> None:
    found = made.report.comparison
    assert found["bit_identical"] is True and found["images"] == 5
    assert found["re2na"]["cycles"] == made.report.total["cycles"]
    assert EVIL not in run_page(made.report)


def test_node_data_goes_by_the_files_names(made: Made) -> None:
    places, cycles = (
        json.loads(part)[made.quantized.graph.name] for part in node_data(made.quantized, made.operators, made.costs)
    )
    nodes = {node.name for node in made.quantized.graph.node}
    assert places["results"].keys() <= nodes and cycles["results"].keys() <= nodes
    relu = next(node.name for node in made.quantized.graph.node if node.op_type == "Relu")
    assert places["results"][relu]["value"] == "Re²Na, region 0", "computed with the convolution before it"
    assert len(places["results"]) >= len(made.operators)
    assert sum(each["value"] for each in cycles["results"].values()) == made.report.total["cycles"]
    assert [stop["stop"] for stop in cycles["gradient"]] == [0, 1]


def test_an_annotated_model_computes_what_it_did(made: Made) -> None:
    found = annotated(made.quantized, made.operators, made.costs)
    onnx.checker.check_model(found)
    told = {node.name: {item.key: item.value for item in node.metadata_props} for node in found.graph.node}
    cycles = {row["name"]: str(row["cycles"]) for row in made.costs}
    assert told[EVIL][f"{PREFIX}cycles"] == cycles[EVIL] and told[EVIL][f"{PREFIX}place"].startswith("Re²Na")
    sigmoid = next(keys for name, keys in told.items() if name.startswith("sigmoid"))
    assert sigmoid[f"{PREFIX}place"].startswith("CPU: ") and sigmoid[f"{PREFIX}reason"]
    outputs = [
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"input": made.images[:4]})
        for model in (made.quantized, found)
    ]
    np.testing.assert_array_equal(*outputs)
