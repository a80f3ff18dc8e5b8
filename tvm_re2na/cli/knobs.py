"""The options of the quantiser's search, and the choice that they make of `QuantizeOptions`."""

from __future__ import annotations

import argparse

from tvm_re2na.cli import arguments

TYPE_CHECKING = False  # typing costs a part of what help may take
if TYPE_CHECKING:
    from typing import Any

    from tvm_re2na.quantize import QuantizeOptions


def add_knobs(parser: argparse.ArgumentParser) -> None:
    """Of the search for scales; left out, each is QuantizeOptions' default."""
    group = parser.add_argument_group("the search (docs/quantisation.md)")
    group.add_argument(
        "--guarantee",
        choices=["observed", "proven", "off"],
        help="no accumulator overflows on the calibration images (observed, the default) or on any (proven); off: not looked at",
    )
    group.add_argument(
        "--headroom",
        type=float,
        metavar="X",
        help="how many times the largest sum on the calibration images the accumulator must hold (1.25)",
    )
    group.add_argument(
        "--unseen-images",
        type=arguments.not_negative,
        metavar="N",
        help="the accumulator must hold the largest sum of N images to come, too, as the calibration images tell it (10,000)",
    )
    for name in ("weight", "activation"):
        group.add_argument(
            f"--{name}-bits",
            type=arguments.positive,
            metavar="N",
            help=f"width of {name}s, at least 2 (the machine's data_bits)",
        )
    group.add_argument(
        "--rounding",
        choices=["nearest", "searched", "auto"],
        help="nearest: each weight to the nearest integer; searched: a layer's weights together, for least error;"
        " auto (the default): searched where nearest leaves less than 30 dB of signal over noise",
    )
    group.add_argument(
        "--scales",
        choices=["searched", "largest"],
        help="scales of least error, or from the largest value of each tensor (searched)",
    )
    for name, what in (
        ("equalise", "move scales of channels between layers"),
        ("split-layers", "channels whose steps must be far coarser than the others' in layers of their own"),
        ("bias-correction", "biases take back the mean error of each output"),
        ("channel-scales", "where the machine has channel_cuts, weights with a scale for each output channel"),
    ):
        group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=f"{what} (on)")
    for name, what in (
        ("keep-float", "an operator that stays in float"),
        ("skip-from", "an operator that stays in float, with all that computes with its results"),
        ("full-width", "a layer whose weights have the machine's width, whatever --weight-bits says"),
    ):
        group.add_argument(
            f"--{name}", action="append", default=[], metavar="NAME", help=f"{what}; again for the next one"
        )
    parser.add_argument(
        "--search-widths",
        type=arguments.target,
        metavar="TARGET",
        help="keep as few layers as possible in float (or, with --weight-bits, at full width) for an accuracy on images held"
        " back: 30dB of signal over noise, or 0.5pt of top-1 lost at most (docs/quantisation.md)",
    )


def chosen_knobs(options: argparse.Namespace) -> QuantizeOptions:
    """What the user chose of the search; everything else is its default."""
    from tvm_re2na.quantize import Guarantee, QuantizeOptions, ScaleRule, WeightRounding

    enums: dict[str, Any] = {"guarantee": Guarantee, "rounding": WeightRounding, "scales": ScaleRule}
    switches = ("equalise", "split_layers", "bias_correction", "channel_scales")
    names = ("headroom", "unseen_images", "weight_bits", "activation_bits", *enums, *switches)
    chosen = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    known: dict[str, Any] = {name: enums[name](value) if name in enums else value for name, value in chosen.items()}
    known |= {name: frozenset(getattr(options, name)) for name in ("keep_float", "skip_from", "full_width")}
    return QuantizeOptions(**known)
