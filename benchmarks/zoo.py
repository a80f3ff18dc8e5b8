"""Does my network run? Some eighty networks quantised, explained, compiled and compared with TVM's CPU: the table of docs/zoo.md.

    RE2NA_DATA=... python benchmarks/zoo.py --page docs/zoo.md   # an hour; with the Python of each TVM, also side by side
    python benchmarks/zoo.py --only squeezenet u_net             # names that begin so
    python benchmarks/zoo.py --quick                             # eight small ones: make zoo-quick
    python benchmarks/zoo.py --folder MODELS                     # the .onnx files of a folder as well
    python benchmarks/zoo.py --machine mac_interval=1            # on another machine; its results are kept apart

Needs PyTorch (`pip install 'tvm_re2na[torch]'`) for the networks that it exports, torchvision for those of torchvision
(`pip install --no-deps torchvision`), RE2NA_DATA for trained ones and photographs. What is not there is left out.

Each network has a process of its own and --limit seconds. What is done is in --work, and not done again unless --again says so; the
page is made of all that is there, of both TVMs. The exit code is 1 where a network fails, differs in a bit, or overflows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.zoo_networks import QUICK, ROOT, networks
from benchmarks.zoo_page import page, table
from tvm_re2na import frontends
from tvm_re2na.codegen.files import write_atomically

MEASURE = Path(__file__).parent / "zoo_measure.py"


def main() -> int:
    options = _options()
    tvm = frontends.installed()
    if tvm is None:
        sys.exit("zoo.py: no TVM is installed here; `re2na doctor` says how to get one")
    known = networks(options.folder)
    names = [name for name in known if _wanted(name, options)]
    if not names:
        sys.exit("zoo.py: no network of these names is there; it may need PyTorch, torchvision or RE2NA_DATA")
    rows = options.work / (",".join(sorted(options.machine)) or "default")
    for folder in (rows, options.work / "models"):
        folder.mkdir(parents=True, exist_ok=True)
    paths = {name: rows / f"{name}.{tvm}.json" for name in names}
    waiting = [name for name, path in paths.items() if options.again or not _is_done(path)]
    with ThreadPoolExecutor(options.jobs) as pool:
        finished = pool.map(lambda name: _measured(name, paths[name], options), waiting)
        for index, (name, row) in enumerate(zip(waiting, finished, strict=True), 1):
            print(f"[{index}/{len(waiting)}] {name}: {_summary(row)}", file=sys.stderr, flush=True)
    found = {side: dict(_read(rows, side, known)) for side in ("relay", "relax")}
    if options.page is not None:
        write_atomically(options.page, page(found, options.machine).encode())
    mine = {name: row for name, row in found[tvm].items() if name in names}
    print(table({tvm: mine}))
    wrong = [name for name in names if not _is_well(mine.get(name))]
    print(f"not as it should be: {', '.join(wrong)}" if wrong else "all as they should be")
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="networks whose names begin so")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="but not those")
    parser.add_argument("--quick", action="store_true", help="eight small ones")
    parser.add_argument("--folder", type=Path, help="a folder with .onnx files of one input")
    parser.add_argument("--machine", action="append", default=[], metavar="FIELD=VALUE", help="of the architecture")
    parser.add_argument("--limit", type=float, default=900, help="seconds for one network (900)")
    parser.add_argument("--jobs", type=int, default=1, help="networks side by side (1)")
    parser.add_argument("--again", action="store_true", help="measure what is done already, too")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "zoo", help="models and results (build/zoo)")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the page of all results")
    return parser.parse_args()


def _wanted(name: str, options: argparse.Namespace) -> bool:
    if options.quick and name not in QUICK:
        return False
    return (not options.only or name.startswith(tuple(options.only))) and not name.startswith(tuple(options.skip))


def _measured(name: str, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The row that a process of its own makes, kept in `path`; what that prints beside it."""
    words = [sys.executable, str(MEASURE), name, str(path), "--models", str(options.work / "models")]
    words += [word for machine in options.machine for word in ("--machine", machine)]
    words += ["--folder", str(options.folder)] if options.folder else []
    path.unlink(missing_ok=True)
    started = time.perf_counter()
    error = ""
    with path.with_suffix(".log").open("w") as log:
        try:
            code = subprocess.run(words, stdout=log, stderr=log, timeout=options.limit, check=False).returncode
            error = f"the process ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            error = f"not done after {options.limit:.0f} s"
    row: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"name": name, "seconds": {}}
    row["wall_seconds"] = round(time.perf_counter() - started, 1)
    if error:
        row["error"] = error
    write_atomically(path, json.dumps(row, indent=1).encode())
    return row


def _is_done(path: Path) -> bool:
    return path.exists() and "wall_seconds" in json.loads(path.read_text())


def _summary(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row.get('step', 'start')}: {row['error']}"
    bits = "equal" if row["bit_identical"] else "DIFFERENT"
    return f"{row['regions']} regions, {row['macs_share']:.1%} of the MACs, bits {bits}, {row['wall_seconds']} s"


def _is_well(row: dict[str, Any] | None) -> bool:
    return row is not None and "error" not in row and row["bit_identical"] and not row["overflows"]


def _read(rows: Path, tvm: str, names: Sequence[str] | dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is done, in the order of the networks; of a folder that is not given now, too."""
    paths = {path.name.removesuffix(f".{tvm}.json"): path for path in sorted(rows.glob(f"*.{tvm}.json"))}
    for name in dict.fromkeys((*names, *paths)):
        if name in paths and _is_done(paths[name]):
            yield name, json.loads(paths[name].read_text())


if __name__ == "__main__":
    sys.exit(main())
