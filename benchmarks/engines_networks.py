"""What benchmarks/engines.py runs: each network quantised once, in the form that each engine takes, with images and what they give.

A network has a folder of its own: `model.onnx` (QDQ), `program.re2na`, `model.tflite`, `images.npy` (float32), `values.npy` (the
same in int8), `expected.npy` (our reference's int8 outputs), `about.json`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.peers_row import MissingTool  # noqa: E402
from tests.models.topologies import TOPOLOGIES, FloatArray, quickly_quantized, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, load_dataset, pipeline  # noqa: E402
from tvm_re2na.codegen.compiler import compile_graph  # noqa: E402
from tvm_re2na.codegen.graph.graph import Graph  # noqa: E402
from tvm_re2na.codegen.program import Program  # noqa: E402
from tvm_re2na.program_inputs import quantise  # noqa: E402
from tvm_re2na.runtime import reference  # noqa: E402
from tvm_re2na.runtime.library import Simulator  # noqa: E402

DEMO = ROOT / "tvm_re2na" / "demo"
CALIBRATION_IMAGES, IMAGES = 8, 8


def _data(name: str) -> Path:
    folder = os.environ.get("RE2NA_DATA")
    if folder is None:
        raise MissingTool(f"{name} is in the folder that RE2NA_DATA names, which is not set")
    return Path(folder) / name


def _photographs(count: int) -> FloatArray:
    x: FloatArray = load_dataset(_data("photos224.npz"), count).x
    return x


def _lenet5() -> tuple[onnx.ModelProto, FloatArray]:
    return pipeline.load_model(DEMO / "lenet5_mnist.onnx"), load_dataset(DEMO / "mnist_test1000.npz", 64).x


def _resnet18() -> tuple[onnx.ModelProto, FloatArray]:
    """Trained on 64x64, and seeing 224x224: it has a pooling of all pixels, and its weights are as trained ones are."""
    model = onnx.load(_data("resnet18_fmnist64.onnx"))
    for axis, size in enumerate((1, 3, 224, 224)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    return pipeline.opened(model), _photographs(CALIBRATION_IMAGES + IMAGES)


def _efficientnet_lite0() -> tuple[onnx.ModelProto, FloatArray]:
    return pipeline.load_model(_data("efficientnet_lite0_imagenet.onnx")), _photographs(CALIBRATION_IMAGES + IMAGES)


def _random(name: str) -> Callable[[], tuple[onnx.ModelProto, FloatArray]]:
    return lambda: (TOPOLOGIES[name](), synthetic_images(CALIBRATION_IMAGES + IMAGES, 3, 224, seed=7))


NETWORKS: dict[str, Callable[[], tuple[onnx.ModelProto, FloatArray]]] = {
    "lenet5": _lenet5,
    "resnet18": _resnet18,
    "mobilenet_v2": _random("mobilenet_v2"),
    "efficientnet_lite0": _efficientnet_lite0,
    "vgg16": _random("vgg16"),
}
TRAINED = ("lenet5", "resnet18", "efficientnet_lite0")


def prepared(folder: Path, name: str) -> Path:
    """The network's own folder, made unless it is there. Raises MissingTool where its weights are not at hand."""
    home = folder / name
    if (home / "about.json").is_file():
        return home
    home.mkdir(parents=True, exist_ok=True)
    model, images = NETWORKS[name]()
    # the search would cut layers in parts, which no other engine knows
    quantised = quickly_quantized(model, images[:CALIBRATION_IMAGES], Architecture())
    (home / "model.onnx").write_bytes(quantised.SerializeToString())
    graph = _lowered(quantised, name)
    program = compile_graph(graph, Architecture())
    program.save(home / "program.re2na")
    about = _judged(home, quantised, program, images[CALIBRATION_IMAGES:])
    _write_twin(home, graph, about)
    about |= {"network": name, "trained": name in TRAINED, "macs": sum(graph.macs(op) for op in graph.ops)}
    (home / "about.json").write_text(json.dumps(about))
    return home


def _lowered(model: onnx.ModelProto, name: str) -> Graph:
    mod, params = pipeline.import_into_tvm(model)
    (lowered,) = pipeline.lower_for_each(mod, params, [Architecture()])
    if lowered.offloaded_macs_share != 1.0 or len(lowered.graphs) != 1:
        raise RuntimeError(f"{name}: {len(lowered.graphs)} regions with {lowered.offloaded_macs_share:.1%} of the MACs")
    graph: Graph = lowered.graphs[0]
    return graph


def _judged(home: Path, model: onnx.ModelProto, program: Program, images: FloatArray) -> dict[str, Any]:
    """Writes images and what the reference makes of them: the simulator, whose bits are the reference's on the first image."""
    scales = pipeline.border_scales(model)
    (source,), (result,) = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    values = quantise(images, scales[source])
    simulator = Simulator(program)
    outputs = [simulator.run([value[None]]).outputs[0] for value in values]
    np.testing.assert_array_equal(outputs[0], reference.run(program, [values[:1]], check_hazards=False).outputs[0])
    np.save(home / "images.npy", images)
    np.save(home / "values.npy", values)
    np.save(home / "expected.npy", np.concatenate(outputs))
    return {"output_scale": scales[result]}


def _write_twin(home: Path, graph: Graph, about: dict[str, Any]) -> None:
    try:
        from benchmarks.peers_twin import TwinError, twin
    except ImportError as error:
        about["no_twin"] = f"its TFLite twin is written with the package {error.name} (`make engines`)"
        return
    try:
        (home / "model.tflite").write_bytes(twin(graph, exact=True))
    except TwinError as error:
        about["no_twin"] = f"no TFLite twin: {error}"
