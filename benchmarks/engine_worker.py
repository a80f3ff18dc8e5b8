"""One engine on one network in a process of its own, which benchmarks/engines.py asks for times.

    PYTHON engine_worker.py ENGINE FOLDER THREADS KERNEL

It prints JSON: what the engine is and what it makes of the images, and for each line of its input an answer: to `time SECONDS` the
seconds and the processor time of every run, to `rate SECONDS` the images a second that two of its streams do. It imports nothing
but NumPy and its engine, so that any Python will do that has these.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

STREAMS = 2
Array: TypeAlias = Any  # of NumPy, whose version is the engine's
Stream: TypeAlias = Callable[[Array], Array]  # an image (1, ...) through the engine


class Engine:
    """An engine with a network loaded. `scale`: what one step of its outputs is worth."""

    name = ""

    def __init__(self, folder: Path, threads: int, kernel: str) -> None:
        self.folder, self.threads, self.kernel = folder, threads, kernel
        self.scale: float = json.loads((folder / "about.json").read_text())["output_scale"]
        self.images = np.load(folder / "images.npy")
        self.load()

    def load(self) -> None:
        raise NotImplementedError

    def stream(self) -> Stream:
        """Something that runs, beside others of its kind."""
        raise NotImplementedError

    def image(self, index: int) -> Array:
        return np.ascontiguousarray(self.images[index : index + 1])

    def integers(self, outputs: Array) -> Array:
        return np.rint(outputs / self.scale).astype(np.int64)

    def prepare_streams(self) -> None:
        """What is not part of the time."""
        self.streams = [self.stream() for _ in range(STREAMS)]

    def many(self, until: float) -> int:
        """As many images as are done by that time, in STREAMS threads, each with a stream of its own."""
        streams, counts, image = self.streams, [0] * STREAMS, self.image(0)

        def work(index: int) -> None:
            while time.perf_counter() < until:
                streams[index](image)
                counts[index] += 1

        threads = [threading.Thread(target=work, args=(index,)) for index in range(STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts)


class Re2na(Engine):
    """Ours, from int8 to int8."""

    def load(self) -> None:
        from tvm_re2na.runtime.library import LoadedProgram, Simulator

        self.images = np.load(self.folder / "values.npy")
        self.program = LoadedProgram(self.folder / "program.re2na", self.kernel)
        self.name = f"Re²Na, {self.program.kernel}"
        self.simulator = Simulator(self.program, threads=self.threads)

    def stream(self) -> Stream:
        run = self.simulator.run
        return lambda image: run([image]).outputs[0]

    def integers(self, outputs: Array) -> Array:
        return outputs.astype(np.int64)

    def prepare_streams(self) -> None:
        pass

    def many(self, until: float) -> int:
        from tvm_re2na.runtime.many import run_many

        image = [self.image(0)]

        def runs() -> Iterator[list[Array]]:
            yield image
            while time.perf_counter() < until:
                yield image

        return sum(1 for _ in run_many(self.program, runs(), STREAMS))


class OnnxRuntime(Engine):
    def load(self) -> None:
        import onnxruntime

        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        model = str(self.folder / "model.onnx")
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def stream(self) -> Stream:
        name = self.session.get_inputs()[0].name
        return lambda image: self.session.run(None, {name: image})[0]


class OpenVino(Engine):
    def load(self) -> None:
        self.name = f"OpenVINO {version('openvino')}"
        self.compiled = self._compiled({"INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": 1})

    def _compiled(self, properties: dict[str, Any]) -> Any:
        import openvino

        core = openvino.Core()
        model = core.read_model(self.folder / "model.onnx")
        model.reshape(self.images[:1].shape)
        return core.compile_model(model, "CPU", properties)

    def stream(self) -> Stream:
        request = self.compiled.create_infer_request()
        return lambda image: request.infer([image], share_inputs=True)[0]

    def prepare_streams(self) -> None:
        """Its own queue, which keeps the streams busy."""
        import openvino

        properties = {"INFERENCE_NUM_THREADS": STREAMS, "NUM_STREAMS": STREAMS, "PERFORMANCE_HINT": "THROUGHPUT"}
        self.queue = openvino.AsyncInferQueue(self._compiled(properties), 2 * STREAMS)

    def many(self, until: float) -> int:
        image, count = self.image(0), 0
        while time.perf_counter() < until:
            self.queue.start_async([image], share_inputs=True)
            count += 1
        self.queue.wait_all()
        return count


class LiteRt(Engine):
    """The TFLite twin, from int8 to int8, by XNNPACK."""

    def load(self) -> None:
        self.name = f"LiteRT {version('ai-edge-litert')}"
        values = np.load(self.folder / "values.npy")
        self.images = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values

    def stream(self) -> Stream:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(self.folder / "model.tflite"), num_threads=self.threads)
        interpreter.allocate_tensors()
        source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

        def run(image: Array) -> Array:
            interpreter.set_tensor(source, image)
            interpreter.invoke()
            return interpreter.get_tensor(result)

        return run

    def integers(self, outputs: Array) -> Array:
        return outputs.astype(np.int64)


class Tvm(Engine):
    """TVM's own int8 for AVX2, which saturates."""

    target = "llvm -mcpu=core-avx2"

    def load(self) -> None:
        import onnx
        import tvm

        from tvm_re2na import pipeline
        from tvm_re2na.relay import prepare

        self.name = f"TVM {tvm.__version__}, {self.target.rpartition('=')[2]}"
        mod, params = pipeline.import_into_tvm(onnx.load(self.folder / "model.onnx"))
        with tvm.transform.PassContext(opt_level=3):
            self.built = tvm.relay.build(prepare(mod, params), target=self.target)

    def stream(self) -> Stream:
        import tvm
        from tvm.contrib import graph_executor

        module = graph_executor.GraphModule(self.built["default"](tvm.cpu()))

        def run(image: Array) -> Array:
            module.set_input(0, image)
            module.run()
            return module.get_output(0).numpy()

        return run


ENGINES: dict[str, type[Engine]] = {
    "re2na": Re2na,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "litert": LiteRt,
    "tvm": Tvm,
}


def times(run: Stream, image: Array, seconds: float) -> list[list[float]]:
    """Wall and processor time of every run, three at least."""
    found: list[list[float]] = []
    until = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < until:
        started, used = time.perf_counter(), time.process_time()
        run(image)
        found.append([time.perf_counter() - started, time.process_time() - used])
    return found


def rate(engine: Engine, seconds: float) -> dict[str, float]:
    """Images a second, and as many as STREAMS processors would do that had nothing else to do."""
    engine.prepare_streams()
    started, used = time.perf_counter(), time.process_time()
    count = engine.many(started + seconds)
    taken, used = time.perf_counter() - started, time.process_time() - used
    return {"of_time": count / taken, "of_processor_time": STREAMS * count / used}


def main(engine: str, folder: str, threads: str, kernel: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what engines print is no answer

    def answer(value: object) -> None:
        print(json.dumps(value), file=answers, flush=True)

    made = ENGINES[engine](Path(folder), int(threads), kernel)
    run = made.stream()
    outputs = [made.integers(run(made.image(index))).ravel().tolist() for index in range(len(made.images))]
    answer({"name": made.name, "outputs": outputs})
    for line in sys.stdin:
        word, seconds = line.split()
        answer(times(run, made.image(0), float(seconds)) if word == "time" else rate(made, float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
