"""What each command does, said once: `re2na --help` lists the sentences, `re2na COMMAND --help` begins with its own."""

from __future__ import annotations

import argparse
from typing import NamedTuple


class Described(NamedTuple):
    """`sentence`: what the command does. `page`: where more of it stands. `example`: its arguments, as one may type them."""

    sentence: str
    page: str
    example: str


COMMANDS = {
    "quantize": Described(
        "float ONNX + calibration images -> power-of-two int8 ONNX (QDQ)",
        "docs/quantisation.md",
        "MODEL.onnx --calibration IMAGES.npz -o MODEL.int8.onnx",
    ),
    "requantize": Described(
        "a model that another tool has quantised -> one with power-of-two scales, and what that costs",
        "docs/prequantized.md",
        "MODEL.onnx --calibration IMAGES.npz --data TEST.npz",
    ),
    "compile": Described(
        "ONNX -> .re2na program, with a table of its layers",
        "docs/cli.md#where-the-cycles-go",
        "MODEL.onnx --calibration IMAGES.npz --report -o MODEL.re2na",
    ),
    "run": Described(
        "run a .re2na program on the simulator", "docs/simulator.md", "MODEL.re2na --data TEST.npz --limit 100"
    ),
    "check": Described(
        "prove, without data, that a .re2na program keeps the rules, has its cycles and no hazard",
        "docs/cli.md#what-check-proves",
        "MODEL.re2na",
    ),
    "vectors": Described(
        "golden vectors for a hardware test bench: memories around instructions, cycles",
        "docs/vectors.md",
        "MODEL.re2na --data TEST.npz -o VECTORS",
    ),
    "compare": Described(
        "accuracy and speed: float CPU, int8 CPU (TVM) and Re²Na",
        "docs/cli.md",
        "MODEL.onnx --calibration IMAGES.npz --data TEST.npz",
    ),
    "report": Described(
        "one page of everything about a run, opened in a browser; or what differs between two",
        "docs/report.md",
        "MODEL.onnx --calibration IMAGES.npz --data TEST.npz -o MODEL.html",
    ),
    "survey": Described(
        "accuracy against width, carry bits, rounding, sensitivity of layers",
        "docs/surveys.md",
        "bits MODEL.onnx --calibration IMAGES.npz --data TEST.npz",
    ),
    "explain": Described(
        "every operator: offloaded, or why not",
        "docs/cli.md#what-is-offloaded",
        "MODEL.onnx --calibration IMAGES.npz",
    ),
    "debug": Described(
        "float, ONNX Runtime, TVM and Re²Na operator by operator: where accuracy and bits go",
        "docs/debug.md",
        "MODEL.onnx --calibration IMAGES.npz --data TEST.npz --images 3",
    ),
    "explore": Described(
        "compile and time a model for a grid of machines: table, CSV, Pareto front",
        "docs/explore.md",
        "MODEL.int8.onnx --sweep sram_bytes=524288,1572864",
    ),
    "disasm": Described("list a program's instructions", "docs/isa.md", "MODEL.re2na"),
    "demo": Described(
        "the whole job on LeNet-5 and MNIST images that come with the package", "README.md", "--limit 100"
    ),
    "tutorials": Described("copy the tutorials into a folder", "docs/cli.md", "my_tutorials"),
    "doctor": Described(
        "what is installed, what works, what is missing and the command that mends it", "docs/installing.md", ""
    ),
    "completion": Described(
        "a script with which a shell completes commands, options and files",
        "docs/cli.md#completion",
        "bash > ~/.local/share/bash-completion/completions/re2na",
    ),
}


class _Lines(argparse.HelpFormatter):
    """Each line of a description is a paragraph of its own; one that is indented, an example, is left as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(line if line.startswith(" ") else fill(line, width, indent) for line in text.splitlines())


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> argparse.ArgumentParser:
    """The parser of a command, with what it does, where more stands, and an example."""
    sentence, page, example = COMMANDS[name]
    return commands.add_parser(
        name,
        help=sentence,
        description=f"{sentence[0].upper()}{sentence[1:]}.\nMore: {page}",
        epilog=f"example:\n  {' '.join(('re2na', name, example)).strip()}",
        formatter_class=_Lines,
    )
