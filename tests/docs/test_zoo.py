"""The page of benchmarks/zoo.py: what two TVMs say of a network in one row, and networks that fail."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.zoo_page import COLUMNS, page, table

DONE: dict[str, Any] = {
    "family": "families",
    "seconds": {"make": 1, "quantise": 2.0, "explain": 0.4, "compile": 1.0, "compare": 8.0},
    "quantise_seconds": 30.0,
    "snr_reported": 34.2,
    "snr_unseen": 30.9,
    "kept_float": [],
    "operators": 40,
    "offloaded": 38,
    "on_cpu": {"known_operator": {"prelu": 2}},
    "macs_share": 0.9996,
    "regions": 3,
    "cycles": 1100,
    "cycles_bound": 1000,
    "network_dram_ratio": 1.254,
    "bit_identical": True,
    "overflows": 0,
}
FAILED = {"family": "families", "seconds": {"make": 1}, "step": "quantise", "error": "no | scales"}


def cells(text: str, name: str) -> dict[str, str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    found = [cell.strip() for cell in line.replace("\\|", "&").strip("|").split("|")]
    return dict(zip(COLUMNS, found[1:], strict=True))


def test_one_row_for_both() -> None:
    other = DONE | {"regions": 4, "offloaded": 37, "seconds": DONE["seconds"] | {"quantise": 0.1}}
    found = cells(table({"relay": {"net": DONE}, "relax": {"net": other}}), "net")
    assert found == {
        "regions": "3 / 4",
        "MACs": "100.0 %",
        "operators": "38 of 40 / 37 of 40",
        "bits": "equal",
        "overflows": "0",
        "cycles": "1,100 (1.10)",
        "DRAM": "1.25",
        "SNR": "34; 31",
        "seconds": "30; 0; 1; 8",
        "on the CPU": "2 prelu (known_operator)",
    }


@pytest.mark.parametrize("rows", [{"relay": {"net": FAILED}}, {"relax": {"net": DONE | FAILED}}])
def test_a_network_that_fails_says_where(rows: Any) -> None:
    found = cells(table(rows), "net")
    assert found["on the CPU"] == "**quantise: no & scales**"
    assert cells(table({"relay": {"net": FAILED}}), "net")["bits"] == "-"


def test_the_page() -> None:
    text = page({"relay": {"net": DONE, "other": FAILED}, "relax": {}}, ["mac_interval=1"])
    assert "a machine with mac_interval=1" in text
    assert "TVM 0.19 (Relay): 2 networks, of which 1 go all the way, 1 with equal bits; 1 have 99 %" in text
    assert (
        "* `known_operator`: Re²Na has no such operator." in text and "zoo.py --machine mac_interval=1 --page" in text
    )
    assert "TVM 0.27" not in text
