"""What the cache saves: `re2na compare` on ResNet-18 from a cold cache, then from a warm one.

    RE2NA_DATA=... python benchmarks/cache.py [--json] [--limit N]

Seconds of processor time, those of child processes included. Exit code 1 where the outputs differ, or the second run takes more
than LIMIT of the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 0.6
RE2NA = str(Path(sys.executable).with_name("re2na"))


def compare(data: Path, limit: int, cache: str) -> tuple[str, float]:
    """(stdout, seconds) of one run."""
    given = ["--data", data / "fmnist64_test.npz", "--calibration", data / "fmnist64_calib512.npz", "--limit", limit]
    command = [RE2NA, "compare", data / "resnet18_fmnist64.onnx", *given, "--json"]
    environment = {**os.environ, "RE2NA_CACHE": cache, "RE2NA_CACHE_BYTES": str(2**30)}
    before = os.times()
    found = subprocess.run(list(map(str, command)), env=environment, check=True, stdout=subprocess.PIPE, text=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return found.stdout, spent


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--limit", type=int, default=2000, metavar="N", help="images (2000)")
    options = parser.parse_args()
    if "RE2NA_DATA" not in os.environ:
        sys.exit("set RE2NA_DATA to the folder with the models and images")
    data = Path(os.environ["RE2NA_DATA"])
    with tempfile.TemporaryDirectory() as folder:
        (first, cold), (second, warm) = (compare(data, options.limit, f"{folder}/cache") for _ in range(2))
        size = sum(path.stat().st_size for path in Path(folder, "cache").iterdir())
    result = {"images": options.limit, "cold": cold, "warm": warm, "ratio": warm / cold, "bytes": size}
    result["same"] = first == second
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"{options.limit:,} images: cold {cold:.1f} s, warm {warm:.1f} s, ratio {warm / cold:.2f} (limit {LIMIT})"
        )
        print(f"outputs {'the same' if first == second else 'DIFFER'}, {size:,} bytes kept")
    return 0 if first == second and warm <= LIMIT * cold else 1


if __name__ == "__main__":
    sys.exit(main())
