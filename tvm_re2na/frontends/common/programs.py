"""Programs on their way into TVM's modules: who compiles them, and who is told of them.

TVM calls a code generator with a function and nothing else; what it needs besides goes through context variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from tvm_re2na.codegen.program import Program

Programs: TypeAlias = list[tuple[str, Program]]
_collectors: ContextVar[tuple[Programs, ...]] = ContextVar("re2na_collectors", default=())
_compiled: ContextVar[Mapping[str, Program]] = ContextVar("re2na_compiled", default=MappingProxyType({}))
_failure: ContextVar[Exception | None] = ContextVar("re2na_failure", default=None)


@contextmanager
def collect_programs() -> Iterator[Programs]:
    """Inside the block, every program that TVM builds into a module is appended to the list as (symbol, program).

    What our compiler raises leaves the block as it is; TVM, on whose way up it is, might make another error of it.
    """
    programs: Programs = []
    tokens = _collectors.set((*_collectors.get(), programs)), _failure.set(None)
    try:
        yield programs
    except Exception as error:
        raise (_failure.get() or error) from None
    finally:
        _failure.reset(tokens[1])
        _collectors.reset(tokens[0])


@contextmanager
def compiled_before(programs: Mapping[str, Program]) -> Iterator[None]:
    """Inside the block, code generators take these programs, by their symbols, and compile none of their functions."""
    token = _compiled.set(programs)
    try:
        yield
    finally:
        _compiled.reset(token)


def program_of(symbol: str, compile_now: Callable[[], Program]) -> Program:
    """What a code generator carries: the program that was compiled before, or what `compile_now` makes."""
    try:
        program = _compiled.get().get(symbol) or compile_now()
    except Exception as error:
        _failure.set(error)
        raise
    for programs in _collectors.get():
        programs.append((symbol, program))
    return program


def linked_to(library: Path) -> list[str]:
    """Options of the linker, so that what is exported loads in a process that has not loaded `library`."""
    folder = str(library.parent)
    return ["-Wl,--no-as-needed", f"-L{folder}", f"-l:{library.name}", f"-Wl,-rpath,{folder}"]


def bundled(whole: Iterable[Path], archives: Iterable[Path]) -> list[str]:
    """Options of the linker that put archives into what is exported: all that is in `whole`, and of the others what is called.

    Their names stay inside, so that a process may hold another copy; and the library stays loaded, whose threads may be waiting.
    """
    everything = ["-Wl,--whole-archive", *map(str, whole), "-Wl,--no-whole-archive"]
    return [*everything, *map(str, archives), "-Wl,--exclude-libs,ALL", "-Wl,-z,nodelete", "-pthread", "-lm"]
