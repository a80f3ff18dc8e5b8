"""The declarations of runtime/include/re2na.h: just the C that stands there, and an error for any other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tvm_re2na.codegen.errors import Re2naError

# what surrounds the declarations, and declares nothing
_AROUND = (
    r"^#ifndef RE2NA_H\n#define RE2NA_H\n",
    r"^#if defined\(_WIN32\)\n#define RE2NA_API [^\n]*\n#else\n#define RE2NA_API [^\n]*\n#endif\n",
    r'^#ifdef __cplusplus\nextern "C" \{\n#endif\n',
    r"^#ifdef __cplusplus\n\}\n#endif\n",
    r"^#endif\n\Z",
    r'^#include (?:<\w+\.h>|"\w+\.h")\n',
)
_NUMBER = re.compile(r"\d+|\(UINT64_C\((\d+)\) << (\d+)\)")
_CONSTANT = re.compile(r"^#define (\w+) ([^\n]*?) *\n", flags=re.MULTILINE)
_ENUM = re.compile(r"enum (?:(\w+) )?\{ (.*) \}")
_OPAQUE = re.compile(r"typedef struct (\w+) (\w+)")
_STRUCT = re.compile(r"typedef struct (\w+) \{ (.*); \} (\w+)")
_FUNCTION = re.compile(r"RE2NA_API (.*?)(\w+)\((.*)\)")
_VARIABLE = re.compile(r"(?:const )?(\w+) ((?:\*|const )*)(\w+)(?:\[(\d+)\])?")


class HeaderError(Re2naError, ValueError):
    """The header has something that this file knows nothing of; the message holds it."""


@dataclass(frozen=True)
class Type:
    """`pointers` to `base`, whether constant or not; an array of `items`, where there are some."""

    base: str
    pointers: int = 0
    items: int | None = None


@dataclass(frozen=True)
class Variable:
    """A member of a struct, or a parameter."""

    name: str
    type: Type


@dataclass(frozen=True)
class Enum:
    """Members in order; `name` is None where the header has none."""

    name: str | None
    members: dict[str, int]


@dataclass(frozen=True)
class Struct:
    """Without members where the header hides them."""

    name: str
    members: tuple[Variable, ...]


@dataclass(frozen=True)
class Function:
    name: str
    result: Type
    parameters: tuple[Variable, ...]


@dataclass(frozen=True)
class Header:
    """Each kind in the order of the header."""

    constants: dict[str, int]
    enums: tuple[Enum, ...]
    structs: tuple[Struct, ...]
    functions: tuple[Function, ...]


def parse(text: str) -> Header:
    """Raises HeaderError."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\n+", "\n", text).lstrip("\n")
    for pattern in _AROUND:
        text = re.sub(pattern, "", text, flags=re.MULTILINE)
    constants = {name: _number(value) for name, value in _CONSTANT.findall(text)}
    text = _CONSTANT.sub("", text)
    made: dict[type, list[object]] = {Enum: [], Struct: [], Function: []}
    for declaration in _declarations(text):
        found = _declared(declaration)
        made[type(found)].append(found)
    return Header(constants, *(tuple(kind) for kind in made.values()))  # type: ignore[arg-type]


def _declarations(text: str) -> list[str]:
    """What ends with a semicolon that is within no braces, its words one space apart."""
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == ";" and depth == 0:
            found.append(" ".join(text[start:place].split()))
            start = place + 1
    if text[start:].strip():
        raise HeaderError(f"no declaration: {text[start:].strip()[:80]}")
    return found


def _declared(text: str) -> Enum | Struct | Function:
    if match := _FUNCTION.fullmatch(text):
        parameters = () if match[3] == "void" else tuple(_variables(part)[0] for part in match[3].split(","))
        return Function(match[2], _variables(f"{match[1]}result")[0].type, parameters)
    if (match := _STRUCT.fullmatch(text)) and match[1] == match[3]:
        return Struct(match[1], tuple(member for line in match[2].split(";") for member in _variables(line)))
    if (match := _OPAQUE.fullmatch(text)) and match[1] == match[2]:
        return Struct(match[1], ())
    if match := _ENUM.fullmatch(text):
        return Enum(match[1], dict(map(_member, match[2].split(","))))
    raise HeaderError(f"no declaration that is known: {text}")


def _member(text: str) -> tuple[str, int]:
    name, equals, value = text.strip().partition(" = ")
    if not equals:
        raise HeaderError(f"a member of an enum without its number: {name}")
    return name, _number(value)


def _variables(text: str) -> list[Variable]:
    """`const type *name`, or `type first, second[2]`."""
    first, *others = (part.strip() for part in text.split(","))
    match = _VARIABLE.fullmatch(first)
    if match is None or (others and match[2]):
        raise HeaderError(f"no variable that is known: {text.strip()}")
    base, pointers, name, items = match.groups()
    found = [Variable(name, Type(base, pointers.count("*"), int(items) if items else None))]
    for other in others:
        found += _variables(f"{base} {other}")
    return found


def _number(text: str) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise HeaderError(f"no number that is known: {text}")
    return int(match[1]) << int(match[2]) if match[1] else int(text)
