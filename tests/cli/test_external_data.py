"""Models whose weights lie in other files: what is wrong with these is told before they are read."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Command
from tests.cli.test_failures import assert_failure

BYTES = 4 * 3 * 3 * 3 * 4  # of the weights


@pytest.fixture
def apart(small_float: tuple[Path, Path], tmp_path: Path) -> Path:
    """The small network, all its tensors in one file beside it."""
    path = tmp_path / "net.onnx"
    model = onnx.load(small_float[0])
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    return path


def changed(path: Path, **fields: object) -> None:
    """Where the first tensor's data lies."""
    model = onnx.load(path, load_external_data=False)
    for item in model.graph.initializer[0].external_data:
        item.value = str(fields.get(item.key, item.value))
    path.write_bytes(model.SerializeToString())


def test_weights_in_another_file(re2na: Command, apart: Path, small_float: tuple[Path, Path], small: Path) -> None:
    assert re2na("quantize", apart, "--calibration", small_float[1], "--output", apart.with_name("q.onnx")).code == 0
    scales = [
        {item.name: item.float_data or item.raw_data for item in onnx.load(path).graph.initializer}
        for path in (apart.with_name("q.onnx"), small)
    ]
    assert scales[0] == scales[1]


def test_what_is_wrong_with_the_file(re2na: Command, apart: Path, small_float: tuple[Path, Path]) -> None:
    data, images = apart.with_name("net.data"), small_float[1]
    content = data.read_bytes()

    def fails(*words: str) -> None:
        found = re2na("quantize", apart, "--calibration", images, "--output", apart.with_name("out.onnx"))
        assert_failure(found, 2, str(apart), *words)
        assert not apart.with_name("out.onnx").exists()

    data.unlink()
    fails("tensor 'constant_0': its data should be in", str(data), "which is no file")
    data.write_bytes(content[: BYTES - 8])
    fails(f"tensor 'constant_0' of shape 4x3x3x3: {data} has {BYTES - 8} bytes for it at 0, expected {BYTES}")
    data.write_bytes(b"")
    fails("has 0 bytes for it at 0")
    data.write_bytes(content)
    for fields, word in (
        ({"length": 100}, "has 100 bytes for it at 0"),
        ({"offset": 10**9}, "has 0 bytes for it at 1,000,000,000"),
        ({"offset": "some"}, "where its data lies cannot be read"),
        ({"location": "../net.data"}, "net.data"),
        ({"location": str(data)}, "absolute path"),
    ):
        before = apart.read_bytes()
        changed(apart, **fields)
        fails(word)
        apart.write_bytes(before)


def test_more_bytes_than_protobuf_takes(re2na: Command, apart: Path, small_float: tuple[Path, Path]) -> None:
    """Nothing of them is read: the files have holes, and no bytes on the disk."""
    rows = 2**31 // (3 * 3 * 3 * 4) + 1
    model = onnx.load(apart, load_external_data=False)
    model.graph.initializer[0].dims[0] = rows
    apart.write_bytes(model.SerializeToString())
    with apart.with_name("large").open("wb") as stream:
        stream.truncate(rows * 3 * 3 * 3 * 4)
    changed(apart, location="large", length=rows * 3 * 3 * 3 * 4)
    found = re2na("explain", apart, "--calibration", small_float[1])
    assert_failure(found, 2, str(apart), "at most 2,147,483,647 can be read (protobuf's limit)")
    with apart.open("r+b") as stream:
        stream.truncate(2**31)
    assert_failure(re2na("explain", apart, "--calibration", small_float[1]), 2, "2,147,483,648 bytes with all weights")
