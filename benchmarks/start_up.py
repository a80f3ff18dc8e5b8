"""How long `re2na --help` and `re2na --version` take, beside a Python that does nothing.

    python benchmarks/start_up.py [--json] [--repeat N]

Seconds by the clock, medians of N runs, taken in turns. Exit code 1 where one is above the limit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 0.15  # seconds
RE2NA = str(Path(sys.executable).with_name("re2na"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "re2na --help": [RE2NA, "--help"],
    "re2na --version": [RE2NA, "--version"],
    "re2na compare --help": [RE2NA, "compare", "--help"],
}


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", type=int, default=15, metavar="N")
    options = parser.parse_args()
    rounds = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(options.repeat)]
    medians = {name: statistics.median(taken[name] for taken in rounds) for name in COMMANDS}
    slow = [name for name, median in medians.items() if median > LIMIT]
    if options.json:
        print(json.dumps({"limit": LIMIT, "seconds": medians, "slow": slow}, indent=2))
    else:
        for name, median in medians.items():
            print(f"{name:22} {median:.3f} s{'  ABOVE THE LIMIT' if name in slow else ''}")
        print(f"limit {LIMIT} s, medians of {options.repeat}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
