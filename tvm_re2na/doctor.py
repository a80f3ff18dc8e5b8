"""What is installed, what works, and what mends the rest."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module, metadata, resources
from importlib.util import find_spec
from pathlib import Path

from tvm_re2na import cache, frontends
from tvm_re2na.packages import OPTIONAL, TVMS, Package, version_of
from tvm_re2na.progress import Progress, silent
from tvm_re2na.runtime import abi, library

START_AGAIN = f"pip uninstall -y {' '.join(tvm.name for tvm in TVMS.values())} && pip install 'tvm_re2na[relax]'"
AUTOLOAD = "tvm_re2na.pth"  # beside the package; Python reads it when it starts
VARIABLE = re.compile(r"\b(RE2NA_\w+) = ")  # how errors of ours begin that are about a setting
CACHE_MEND = f"export {cache.FOLDER}=FOLDER, one that only you can write to"


def reinstall() -> str:
    """The command that installs this package again, from where it came."""
    try:
        # PEP 610; none where it came from an index
        text = metadata.distribution("tvm_re2na").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        text = None
    origin = json.loads(text) if text else {}
    source = str(origin.get("url", "tvm_re2na")).removeprefix("file://")
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f"pip install --force-reinstall --no-deps {editable}{shlex.quote(source)}"


class State(Enum):
    OK = "ok"
    MISSING = "missing"  # not there, and nothing that is there needs it
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `mend` is the command that puts it right; None where nothing is wrong."""

    what: str
    state: State
    detail: str
    mend: str | None = None


def examine(progress: Progress = silent) -> list[Finding]:
    """Everything, from the interpreter to an image that runs through TVM and the simulator; raises nothing."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("simulator", _simulator),
        ("TVM", _tvm),
        ("start of TVM", _autoload),
        ("module for Relax", _module_library),
        ("exporting", _linker),
        ("cache", _cache),
        *(
            (package.module, _optional(package))
            for package in OPTIONAL
            if package.front_end in (None, frontends.installed())
        ),
        ("one image, end to end", _end_to_end),
    ]
    findings = []
    for index, (what, check) in enumerate(checks):
        progress("examine", index, len(checks))
        findings.append(_safely(what, check))
    progress("examine", len(checks), len(checks))
    return findings


def is_well(findings: list[Finding]) -> bool:
    """Whether nothing is broken and a TVM is there."""
    states = {finding.what: finding.state for finding in findings}
    return State.BROKEN not in states.values() and states["TVM"] is State.OK


def _safely(what: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # whatever a damaged installation raises is what we are asked for
        detail = _last_line(error)
        variable = VARIABLE.search(detail)
        return Finding(what, State.BROKEN, detail, f"unset {variable[1]}" if variable else reinstall())


def _python() -> Finding:
    version = metadata.version("tvm_re2na")
    return Finding("Python", State.OK, f"{platform.python_version()} on {platform.machine()}, tvm_re2na {version}")


def _simulator() -> Finding:
    try:
        path = abi.library_path()
    except FileNotFoundError as error:
        return Finding("simulator", State.BROKEN, str(error), reinstall())
    kernels = ", ".join(library.kernels()[1:])
    return Finding("simulator", State.OK, f"{path.name}, kernels: {kernels}; {os.cpu_count()} processors")


def _tvm() -> Finding:
    found = dict(_tvm_packages())
    if len(found) > 1:
        both = " and ".join(f"{TVMS[front_end].name} {version}" for front_end, version in found.items())
        detail = f"{both} in one environment: both are called tvm, one has overwritten the other"
        return Finding("TVM", State.BROKEN, detail, START_AGAIN)
    front_end = frontends.installed()
    if front_end is None:
        detail = (
            "quantize, run, check and disasm work without; compile, compare, explain, explore, survey and demo need it"
        )
        return Finding("TVM", State.MISSING, detail, "pip install 'tvm_re2na[relax]'")
    version = found.get(front_end) or str(getattr(import_module("tvm"), "__version__", "?"))
    frontends.session()
    tested = "" if version == TVMS[front_end].tested else f" (tested: {TVMS[front_end].tested})"
    return Finding("TVM", State.OK, f"{version} with {front_end.capitalize()}{tested}; target 're2na' is registered")


def _tvm_packages() -> Iterator[tuple[str, str]]:
    for front_end, package in TVMS.items():
        version = version_of(package.name)
        if version is not None:
            yield front_end, version


def _autoload() -> Finding:
    """Whether programs that do not import this package find the target: TVM's own command line, for one."""
    what = "start of TVM"
    if frontends.installed() == "relax":
        if any(point.name == "re2na" for point in metadata.entry_points(group="tvm.backends")):
            return Finding(
                what, State.OK, "`import tvm` is enough for the target 're2na': an entry point of tvm.backends"
            )
    elif any(path.name == AUTOLOAD and Path(path.locate()).exists() for path in metadata.files("tvm_re2na") or []):
        return Finding(what, State.OK, f"`import tvm` and stock tvmc know the target 're2na': {AUTOLOAD}")
    detail = "`import tvm` alone does not know the target 're2na'; with `import tvm_re2na` it does"
    return Finding(what, State.MISSING, detail, reinstall())


def _module_library() -> Finding:
    what = "module for Relax"
    try:
        return Finding(what, State.OK, abi.module_library_path().name)
    except FileNotFoundError:
        if frontends.installed() != "relax":
            return Finding(what, State.OK, "not built, and not needed")
        detail = "libre2na_tvm.so was not built: that takes a C++ compiler"
        return Finding(what, State.BROKEN, detail, f"install g++, then {reinstall()}")


def _linker() -> Finding:
    """TVM calls a compiler to link what it exports."""
    compiler = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    if compiler is None:
        detail = "no C++ compiler: networks run, but export_library cannot link"
        return Finding("exporting", State.MISSING, detail, "install g++ (apt install g++, dnf install gcc-c++)")
    return Finding("exporting", State.OK, f"{compiler} links what export_library writes")


def _cache() -> Finding:
    """Nothing needs it: one that cannot be used only costs time."""
    place, most = cache.folder(), cache.limit()
    reason = None if most else "off"
    if most:
        reason = cache.refusal(place) or _not_writable(place)
    if reason is not None:
        return Finding("cache", State.MISSING, reason, f"unset {cache.BYTES}" if not most else CACHE_MEND)
    files, size = cache.CacheStore(place, most).size()
    return Finding("cache", State.OK, f"{place}: {files} entries, {size:,} bytes of at most {most:,}")


def _not_writable(folder: Path) -> str | None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return None if os.access(there, os.W_OK | os.X_OK) else f"{folder} cannot be written"


def clear_cache() -> Finding:
    """Removes all entries. Raises OSError where that is not allowed."""
    place = cache.folder()
    files, size = cache.CacheStore(place, cache.limit()).clear()
    return Finding("cache", State.OK, f"{place}: {files} entries removed, {size:,} bytes")


def _optional(package: Package) -> Callable[[], Finding]:
    def check() -> Finding:
        if find_spec(package.module) is None:
            return Finding(package.module, State.MISSING, package.purpose, f"pip install 'tvm_re2na[{package.extra}]'")
        return Finding(package.module, State.OK, package.purpose)

    return check


def _end_to_end() -> Finding:
    what = "one image, end to end"
    if frontends.installed() is None:
        return Finding(what, State.MISSING, "needs TVM", "pip install 'tvm_re2na[relax]'")
    from tvm_re2na.data import load_dataset
    from tvm_re2na.evaluate import compare

    with resources.as_file(resources.files("tvm_re2na") / "demo") as folder, cache.off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eight images are few: whether all works, not how well, is asked
        calibration = load_dataset(folder / "mnist_calibration128.npz", 8)
        result = compare(folder / "lenet5_mnist.onnx", folder / "mnist_test1000.npz", calibration, limit=1)
    if not result.bit_identical:
        return Finding(what, State.BROKEN, "LeNet-5 on Re²Na gives other bits than on TVM's CPU", reinstall())
    return Finding(what, State.OK, "LeNet-5: quantised, compiled, run; its bits are those of TVM's CPU")


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
