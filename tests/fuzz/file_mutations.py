"""Damaged data files, descriptions of machines, pictures and programs."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from tests.fuzz.onnx_mutations import FLOATS, INTEGERS, MARK, Rng, _pick, damaged_bytes
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.program import _pack_sections, _unpack_sections

SHAPE = (3, 8, 8)  # of the images that the network takes
TYPES = (
    "|u1",
    "<f4",
    ">f4",
    "<f8",
    "<i8",
    "<u8",
    "|b1",
    "|O",
    "<U9",
    "|V4",
    "<c8",
    "<M8[s]",
    "|i1",
    "<f2",
    "[('a', '<f4')]",
)


# ---- npz


def npz(rng: Rng) -> bytes:
    """Fields of other types, shapes and values; headers that lie; archives that are damaged."""
    fields: dict[str, Any] = {
        "x": rng.integers(0, 256, (3, *SHAPE), dtype=np.uint8),
        "mean": np.full(3, 0.5, np.float32),
        "std": np.full(3, 0.25, np.float32),
        "y": np.array([0, 1, -1]),
    }
    if rng.random() < 0.4:
        fields["x"] = rng.normal(size=(3, *SHAPE)).astype(np.float32)
    members = {f"{name}.npy": _npy(value) for name, value in fields.items() if rng.random() < 0.95}
    for _ in range(int(rng.integers(1, 3))):
        name = _pick(rng, list(members))
        if name is not None:
            members[name] = _other_member(rng, fields[name.removesuffix(".npy")], members[name])
    stream = io.BytesIO()
    packing = _pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for name, content in members.items():
            # a member with a date of its own: a name alone takes the clock's, and the case would not follow from its number
            member = zipfile.ZipInfo(name if rng.random() < 0.97 else name.removesuffix(".npy"))
            archive.writestr(member, content, packing)
    content = stream.getvalue()
    return damaged_bytes(rng, content) if rng.random() < 0.4 else content


def _npy(value: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(value), allow_pickle=True)
    return stream.getvalue()


def _other_member(rng: Rng, value: Any, content: bytes) -> bytes:
    """A member with another value of its field, or with a header that promises something else."""
    match rng.integers(8):
        case 0:
            return _npy(np.asarray(value).reshape(-1)[0])
        case 1:
            return _npy(
                np.asarray(value).astype(_pick(rng, (np.float64, np.int8, np.uint64, np.float16, "U5", object)))
            )
        case 2:
            return _npy(np.full(np.shape(value), _pick(rng, FLOATS), np.float32))
        case 3:
            return _npy(np.full(np.shape(value), _pick(rng, (2**64 - 1, 2**63, 10**6)), np.uint64))
        case 4:
            return _npy(np.asarray(value)[:0] if rng.random() < 0.5 else np.asarray(value)[None])
        case 5:
            shape = tuple(_pick(rng, INTEGERS) for _ in range(int(rng.integers(0, 6))))
            return (
                _header(f"{{'descr': {_pick(rng, TYPES)!r}, 'fortran_order': False, 'shape': {shape}, }}")
                + content[128:]
            )
        case 6:
            text = _pick(rng, ("{", "[" * 300, "{'descr': '<f4'}", "1" * 5000, "x" * 60000, "{'shape': (1,)}", "é"))
            return _header(text) + content[128:]
        case _:
            return _bomb(rng)


def _header(text: str) -> bytes:
    encoded = text.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(encoded)) + encoded


def _bomb(rng: Rng) -> bytes:
    """Zeros: 16 MiB that pack into 16 KiB, and a header that is true of them, or promises 64 TiB."""
    promised = 2**24 if rng.random() < 0.5 else 2**46
    shape = (promised // 192, *SHAPE)
    return _header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}") + bytes(2**24 // 192 * 192)


# ---- TOML


def toml(rng: Rng) -> bytes:
    """A machine with a few lines that are none of its own."""
    lines = Architecture().to_toml().splitlines()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(lines)))
        name = lines[at].partition(" ")[0] if rng.random() < 0.9 else _pick(rng, ("unknown", "'é'", "a.b", "", MARK))
        lines[at] = f"{name} = {_toml_value(rng)}"
    content = "\n".join(lines).encode().replace(MARK.encode(), b"\xff\xfe")
    return damaged_bytes(rng, content) if rng.random() < 0.3 else content


def _toml_value(rng: Rng) -> str:
    deep = int(_pick(rng, (3, 100, 5000, 200000)))
    values = [
        str(_pick(rng, (*INTEGERS, 10**30))),
        "9" * int(_pick(rng, (20, 4000, 10000, 10**6))),
        "0x" + "f" * int(_pick(rng, (5, 10000))),
        str(_pick(rng, FLOATS)),
        "1e999999",
        "[" * deep + "]" * deep,
        "[" * deep,
        "{a = " * deep + "1" + "}" * deep,
        '"wrap"',
        '"' + "w" * deep + '"',
        "true",
        "1979-05-27T07:32:00Z",
        '["32x128", "1x4096"]',
        json.dumps([_pick(rng, ("x", "0x0", "3x5", "9" * 5000 + "x1", "1x", "-1x1", "²x2", "64x64"))]),
        '"""\n',
        ".".join("a" * 1000),
        "",
    ]
    return str(_pick(rng, values))


# ---- pictures


def image(rng: Rng) -> bytes:
    """Pictures of odd shapes and modes in every format that is read; damaged, or with a header that promises more."""
    from PIL import Image

    if rng.random() < 0.1:
        return _png(*[int(_pick(rng, (0, 1, 3000, 30000, 2**20, 2**31 - 1, 2**32 - 1))) for _ in range(2)])
    size = tuple(int(_pick(rng, (1, 2, 7, 64, 300, 3000))) for _ in range(2))
    mode = _pick(rng, ("RGB", "L", "1", "P", "RGBA", "CMYK", "I", "I;16", "LA"))
    stream = io.BytesIO()
    picture = Image.new(mode, size)
    for form in rng.permutation(["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"]):
        try:
            picture.save(stream, str(form))
            break
        except (OSError, ValueError, SystemError):
            stream = io.BytesIO()  # not every format takes every mode
    content = stream.getvalue()
    return damaged_bytes(rng, content) if rng.random() < 0.6 else content


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(2**20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# ---- programs: what Python reads of them


def program(rng: Rng, content: bytes) -> bytes:
    """Sections that describe the program are changed, and the checksum is right; the instructions stay."""
    sections = _unpack_sections(content)
    for name in rng.permutation(["ARCH", "MEMORY", "TENSORS", "SOURCES", "META"])[: rng.integers(1, 3)]:
        if name in ("SOURCES", "META") and rng.random() < 0.8:
            sections[name] = json.dumps(_other_json(rng, json.loads(sections[name]))).encode()
        else:
            sections[name] = damaged_bytes(rng, sections[name])
        if name in ("SOURCES", "META") and rng.random() < 0.1:
            sections[name] = _pick(rng, (b"[" * 100000, b"9" * 10000, b"NaN", b'"\xff"', b"null", b"{}", b"[]"))
    return bytes(_pack_sections(sections))


def _other_json(rng: Rng, value: Any) -> Any:
    """One value anywhere in it is another, of another kind, or gone."""
    others = (_pick(rng, INTEGERS), _pick(rng, FLOATS), None, True, "", "text", [], {}, [[]], "9" * 5000)
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    if not items or rng.random() < 0.1:
        return _pick(rng, others)
    key, item = items[int(rng.integers(len(items)))]
    changed = dict(items)
    if rng.random() < 0.1:
        del changed[key]
    else:
        changed[key] = _other_json(rng, item)
    return changed if isinstance(value, dict) else list(changed.values())
