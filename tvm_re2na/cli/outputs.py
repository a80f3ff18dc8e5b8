"""The files that a command writes: where they go, whole or not at all, and which model they are made from."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import onnx
from google.protobuf.message import DecodeError

from tvm_re2na import plot
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import NOT_FREE, is_free, write_atomically
from tvm_re2na.codegen.program import Program

KEY = "re2na.source"  # in the metadata of a model
NOTE = "source"  # in the notes of a program
DIGITS = 32  # of the digest


def output_path(options: argparse.Namespace, default: str) -> Path:
    output: Path = options.output or Path(default)
    check_writable(output)
    return output


def check_writable(path: Path | None) -> None:
    """Before the work starts, not after it."""
    reason = None if path is None else _reason_not_to_write(path)
    if reason is not None:
        raise UsageError(f"{path}: cannot be written: {reason}")


def _reason_not_to_write(path: Path) -> str | None:
    if path.is_dir():
        return "is a folder"
    if not path.parent.is_dir():
        return "its folder does not exist"
    if path.exists() and not path.is_file():  # a device or a pipe
        return None if os.access(path, os.W_OK) else "its mode forbids it"
    try:
        with TemporaryFile(dir=path.parent):
            return None
    except OSError as error:
        return f"its folder takes no file ({error.strerror})"


def check_folder(path: Path) -> None:
    """The same of a new folder, or an empty one."""
    if not is_free(path):
        raise UsageError(f"{path}: cannot be written: {NOT_FREE}")
    reason = _reason_not_to_write(path.with_name(f".{path.name}.part"))
    if reason is not None:
        raise UsageError(f"{path}: cannot be written: {reason}")


def check_figure(path: Path | None) -> None:
    """Before the work starts: where a figure goes, its format, and that matplotlib is there."""
    if path is not None:
        check_writable(path)
        plot.check_format(path)


def written(*paths: Path | None) -> tuple[str, ...]:
    return tuple(f"wrote {path}" for path in paths if path is not None)


# ---- two models of one name have the same default output


def source_of(path: Path, model: onnx.ModelProto | None = None) -> str:
    """A digest of the model file; of one that we made from another, that other one's."""
    noted = _noted(model) if model is not None else None
    return noted or hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]


def note_source(model: onnx.ModelProto, source: str) -> None:
    if _noted(model) is None:
        model.metadata_props.add(key=KEY, value=source)


def with_source(programs: Iterable[Program], source: str) -> list[Program]:
    return [dataclasses.replace(program, meta=program.meta | {NOTE: source}) for program in programs]


def warn_of_another(options: argparse.Namespace, output: Path, source: str) -> None:
    """Where nobody has named the file, and what it holds was made from another model. It is replaced all the same: a model that
    was trained again is another one, too."""
    if options.output is not None or not output.is_file():
        return
    before = _source_in(output)
    if before is not None and before != source:
        told = f"{output}: was made from another model than {options.model}, and is replaced"
        warnings.warn(f"{told}; --output names another file", UserWarning, stacklevel=2)


def _noted(model: onnx.ModelProto) -> str | None:
    return next((item.value for item in model.metadata_props if item.key == KEY), None)


def _source_in(path: Path) -> str | None:
    """None where it does not say, or is none of our files."""
    try:
        if path.suffix == ".onnx":
            return _noted(onnx.load(str(path), load_external_data=False))
        value = Program.open(path).meta.get(NOTE)
    except (Re2naError, OSError, DecodeError):
        return None
    return value if isinstance(value, str) else None


# ---- writing


def numbered(path: Path, count: int) -> list[Path]:
    """`net.re2na`, or `net.0.re2na`, `net.1.re2na`... where the network falls into several regions."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}.{index}{path.suffix}") for index in range(count)]


def first_and_last(names: Sequence[str]) -> str:
    """Those that `numbered` made, in a cell of a table."""
    return names[0] if len(names) == 1 else f"{names[0]} ... {Path(names[-1]).name} ({len(names)} files)"


def write_all(files: dict[Path, bytes]) -> None:
    done = []
    try:
        for path, content in files.items():
            write_atomically(path, content)
            done.append(path)
    except OSError:
        for path in filter(Path.is_file, done):
            path.unlink(missing_ok=True)
        raise
