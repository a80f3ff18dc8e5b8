"""Counting hits, and the figures of a comparison."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import DataError
from tvm_re2na.runtime.network_traffic import NetworkTraffic
from tvm_re2na.tally import Tally, count_hits

NOTHING = NetworkTraffic(0, 0, 0)  # is offloaded


def test_hits_and_ties() -> None:
    scores = np.array([[3, 3, 0, 0, 0, 0], [3, 3, 0, 0, 0, 0], [9, 8, 7, 6, 5, 4], [1, 0, 0, 0, 0, 0]])
    assert count_hits(scores, np.array([0, 1, 5, -1])).tolist() == [1, 2]


def test_figures() -> None:
    tally = Tally()
    float_scores = np.array([[2.0, 1], [1, 2]], np.float32)
    tally.add(2, np.array([0, 1]), [float_scores], [float_scores], [float_scores], [float_scores])
    other = np.array([[1.0, 0], [9, 9]], np.float32)
    rest = Tally(totals={"runs": 2, "cycles": 4000, "macs": 819200, "overflows": 3, "dram_bytes": 400})
    rest.add(1, np.array([-1]), [other[:, ::-1]], [other], [other], [other])
    result = (tally + rest).comparison(Architecture(), 1.0, NOTHING, batch=2)
    assert result == (rest + tally).comparison(Architecture(), 1.0, NOTHING, batch=2)
    assert result.images == 3
    assert result.float32.top1 == result.re2na.top1 == 1.0, "the image without a label does not count"
    assert result.agreement == pytest.approx(2 / 3)
    assert result.bit_identical
    assert (result.re2na.cycles, result.re2na.dram_bytes, result.re2na.overflows) == (1000, 100, 3)
    assert result.re2na.milliseconds == pytest.approx(0.005)
    assert result.re2na.utilisation == pytest.approx(0.25)


def test_one_bit_is_seen() -> None:
    tally = Tally()
    scores = np.array([[1.0, 2]], np.float32)
    tally.add(1, None, [scores], [scores], [scores], [np.nextafter(scores, np.float32(9))])
    result = tally.comparison(Architecture(), 0.0, NOTHING, 1)
    assert not result.bit_identical
    assert result.float32.top1 is None
    assert result.re2na.utilisation == 0.0


def test_classes_the_network_does_not_know() -> None:
    scores = np.zeros((3, 2), np.float32)
    with pytest.raises(DataError, match="class 7, the network tells 2 classes apart"):
        Tally().add(3, np.array([0, 7, 1]), [scores], [scores], [scores], [scores])


@pytest.mark.parametrize(("shape", "told"), [((3, 2, 1, 1), 1.0), ((3, 2), 1.0), ((3, 2, 4, 4), None)])
def test_maps_are_no_scores_of_classes(shape: tuple[int, ...], told: float | None) -> None:
    """A best number among all of a map's is no class: there is no accuracy, and it is printed as a dash."""
    scores = np.zeros(shape, np.float32)
    tally = Tally()
    tally.add(3, np.array([0, 0, 0]), [scores], [scores], [scores], [scores])
    result = tally.comparison(Architecture(), 1.0, NOTHING, batch=1)
    assert {side.top1 for side in (result.float32, result.cpu_int8, result.re2na)} == {told}
    assert [line.split()[-1] for line in str(result).splitlines()[1:3]] == (
        ["-"] * 2 if told is None else ["100.00%"] * 2
    )


def test_signal_over_noise() -> None:
    """Energies of all images together, whoever counted them; an image without a finite output counts in none."""
    given, noisy = np.array([[3.0, 4]], np.float32), np.array([[3.5, 4]], np.float32)
    tally, rest = Tally(), Tally()
    tally.add(1, None, [given], [given], [noisy], [noisy])
    rest.add(2, None, *([np.concatenate([given, infinite])] for infinite in [np.array([[np.inf, 0]], np.float32)] * 4))
    for parts in (tally + rest, rest + tally):
        result = parts.comparison(Architecture(), 0.0, NOTHING, 1)
        assert result.onnx_runtime_int8.snr_db is None
        assert result.cpu_int8.snr_db == result.re2na.snr_db == pytest.approx(10 * np.log10(50 / 0.25), abs=0.005)


def test_a_comparison_prints_as_a_table() -> None:
    tally = Tally()
    scores = np.array([[1.0, 2]], np.float32)
    tally.add(1, np.array([1]), [scores], [scores], [scores], [scores])
    result = tally.comparison(Architecture(), 1.0, NOTHING, 1)
    lines = str(result).splitlines()
    assert lines[0].startswith("1 images, per inference") and "float, ONNX Runtime" in lines[0]
    assert len(set(map(len, lines))) == 1
    assert lines[1].split() == ["top-1", "accuracy", *["100.00%"] * 4]
    given = str(dataclasses.replace(result, given_quantized=True))
    assert "float" not in given and "int8, ONNX Runtime" in given
    assert "given_quantized" not in result.to_json()
