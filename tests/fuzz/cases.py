"""One case of a campaign: a damaged file, a command that reads it, and what is wrong with the answer."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from tests.fuzz import file_mutations, onnx_mutations
from tests.fuzz.onnx_mutations import Rng
from tests.quantize.networks import FloatNet
from tvm_re2na.cli import main

KINDS = ("onnx", "npz", "toml", "image")
MEMORY = 2 * 2**30  # bytes that a process may take
ERRORS = (2, 3)  # exit codes of input that cannot be used
NO_MEMORY = re.compile("memory|bad.?alloc|unable to allocate|failed to allocate", re.IGNORECASE)
MOST_INPUT = 2**22  # bytes of the images that are made for a damaged model


@dataclass(frozen=True)
class Answer:
    """`wrong`: what is wrong with it, None where nothing is; `result`: whether the command made something of the file."""

    result: bool
    wrong: str | None
    said: str = ""


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Bench:
    """A folder with what the damaged file is used with. Every case is made of the seed and its number alone.

    `compare`: whether a tenth of the models are built and run as well, which takes TVM seconds.
    """

    def __init__(self, kind: str, seed: int, folder: Path, *, compare: bool = True) -> None:
        self.kind, self.seed, self.folder, self.compare = kind, seed, folder, compare
        self.file = (
            folder / {"onnx": "case.onnx", "npz": "case.npz", "toml": "case.toml", "image": "class/case.png"}[kind]
        )
        self.file.parent.mkdir(exist_ok=True)
        self.images, self.model = folder / "images.npz", folder / "small.onnx"
        self.quantized, self.program = folder / "small.int8.onnx", folder / "small.re2na"
        net = FloatNet(size=8)
        onnx.save(net.build(net.conv("input", 3, 4)), self.model)
        np.savez(self.images, x=net.images(4))
        if kind != "onnx":
            made = ["quantize", self.model, "--calibration", self.images, "--output", self.quantized]
            compiled = ["compile", self.quantized, "--output", self.program]
            for arguments in (made, compiled):
                answer = self.answer(*arguments)
                if not answer.result:
                    raise RuntimeError(f"{arguments}: {answer}")

    def content(self, index: int) -> tuple[Rng, bytes]:
        rng = np.random.default_rng([KINDS.index(self.kind), self.seed, index])
        make = {
            "onnx": onnx_mutations.mutated,
            "npz": file_mutations.npz,
            "toml": file_mutations.toml,
            "image": file_mutations.image,
        }[self.kind]
        return rng, make(rng)

    def run(self, index: int) -> Answer:
        rng, content = self.content(index)
        self.file.write_bytes(content)
        return self.answer(*self._arguments(rng, content))

    def _arguments(self, rng: Rng, content: bytes) -> list[object]:
        often = rng.random()
        output = ["--output", self.folder / "output"]
        if self.kind == "onnx":
            images = self.fitting(content)
            known = [self.file, "--calibration", images]
            if often < 0.8 or (often < 0.9 and not self.compare):
                return ["compile", *known, *output]
            if often < 0.9:
                return ["compare", *known, "--data", images]
            return [*(["requantize"] if often < 0.95 else ["quantize"]), *known, *output]
        if self.kind == "npz" and often < 0.6:
            return ["run", self.program, "--data", self.file]
        if self.kind == "npz" and often < 0.7:
            return ["compare", self.quantized, "--data", self.file]
        if self.kind == "toml":
            return ["compile", self.quantized, "--arch", self.file, *output]
        source = self.file if self.kind == "npz" else self.folder
        return ["quantize", self.model, "--calibration", source, *output]

    def fitting(self, content: bytes) -> Path:
        """Images of the shape that a model asks for, if it asks for one."""
        return _images_for(content, self.folder) or self.images

    def answer(self, *arguments: object) -> Answer:
        """Run the command here. Native code writes to the descriptors, so these are what is read."""
        with _captured() as said:
            try:
                code = main([str(argument) for argument in arguments])
            except Exception:
                return Answer(False, f"traceback: {_short_trace()}", " ".join(map(str, arguments[:1])))
        text = said[0]
        if code == 0:
            return Answer(True, None)
        lines = text.splitlines()
        if code not in ERRORS:
            return Answer(False, f"exit code {code}", text)
        if len(lines) != 1 or not lines[0].startswith("re2na: error: "):
            return Answer(False, f"{len(lines)} lines, expected one", text)
        return Answer(False, "more than 2 GiB" if NO_MEMORY.search(text) else None, text)


def _images_for(content: bytes, folder: Path) -> Path | None:
    """Images of the shape that the damaged model asks for, so that what is behind the first check is reached."""
    try:
        graph = onnx.ModelProto.FromString(content).graph
        known = {tensor.name for tensor in graph.initializer}
        value = next(value for value in graph.input if value.name not in known)
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
        if not shape or min(shape) < 1 or np.prod([float(size) for size in shape]) * 8 > MOST_INPUT:
            return None
        path = folder / "fitting.npz"
        np.savez(path, x=np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32))
    except Exception:
        return None  # what is no model takes any images
    return path


def _short_trace() -> str:
    """The error, and the last lines of ours that it came through."""
    lines = [line.strip() for line in traceback.format_exc().splitlines()]
    ours = [line for line in lines if line.startswith("File") and "re2na" in line.replace("tvm_re2na/cli", "")]
    last = next((line for line in reversed(lines) if line), "")
    return " < ".join([last[:200], *(re.sub(r'File ".*/([^/]+/[^/]+)", line', r"\1", line) for line in ours[:-4:-1])])


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """What is written to stderr meanwhile, by Python or by native code; stdout is dropped."""
    said: list[str] = []
    with tempfile.TemporaryFile("w+", errors="replace") as stream, Path(os.devnull).open("w") as nothing:
        saved = os.dup(1), os.dup(2)
        os.dup2(nothing.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(stream):
                yield said
        finally:
            for target, source in zip((1, 2), saved, strict=True):
                os.dup2(source, target)
                os.close(source)
            stream.seek(0)
            said.append(stream.read())
