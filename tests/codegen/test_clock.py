"""The search's clock: array and bus, and loads that have no room yet."""

from __future__ import annotations

from tvm_re2na.codegen.schedule.clock import Buffers, Clock, Phase

STAYS = Buffers(2, 0)


def test_loads_go_ahead_as_far_as_each_stage_leaves_room() -> None:
    long = Clock().after([Phase(load=10, compute=1000)], 0, 50, 7, 0, STAYS)
    assert (long.array, long.bus) == (10 + 7 + 1000, 10)
    fits = long.after([Phase(load=50, compute=5)], 0, 1000, 7, 0, STAYS)
    assert (fits.bus, fits.array) == (60, 1022), "beside the long stage"
    waits = long.after([Phase(load=51, compute=5)], 0, 1000, 7, 0, STAYS)
    assert (waits.bus, waits.array) == (1017 + 51, 1017 + 51 + 7 + 5), "behind it"
    later = fits.after([Phase(load=40, compute=5)], 0, 1000, 7, 0, STAYS)
    assert later.bus == 1017 + 40, "the same of a stage further on: what is there already counts"


def test_the_end_at_best() -> None:
    clock = Clock().after([Phase(load=10, compute=1000)], 0, 50, 7, 0, STAYS)
    assert clock.at_best(200, 20) == 1017 + 200, "the array decides"
    assert clock.at_best(0, 5000) == 1017 + 5000 - 50, "loads for which there is no room before the stage is done"
    assert Clock(array=5, bus=90).at_best(10, 40) == 90 + 40
