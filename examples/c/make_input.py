"""An image as a program takes it: int8, quantised with the scale that the program notes, in a file without a header.

python make_input.py PROGRAM.re2na DATA [--image 0] [--output input.bin]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tvm_re2na import DataError, Program, ProgramError
from tvm_re2na.program_inputs import read_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description="write an image of a data set as the int8 input of a program")
    parser.add_argument("program", type=Path, metavar="PROGRAM.re2na", help="what `re2na compile` wrote")
    parser.add_argument("data", type=Path, metavar="DATA", help="images: docs/cli.md#images")
    parser.add_argument("--image", type=int, default=0, metavar="N", help="which of them, from 0 on (0)")
    parser.add_argument(
        "--output", type=Path, default=Path("input.bin"), metavar="FILE", help="where to write it (input.bin)"
    )
    options = parser.parse_args()
    try:
        program = Program.open(options.program)
        images, labels = read_inputs(program, options.data, options.image + 1)
    except (DataError, ProgramError, OSError) as error:
        sys.exit(f"make_input.py: {error}")
    if not 0 <= options.image < len(images) or program.inputs[0].shape[0] != 1 or len(program.inputs) != 1:
        sys.exit(f"make_input.py: no image {options.image} in {options.data}, or the program does not take one image")
    images[options.image].tofile(options.output)
    known = "" if labels is None else f", class {labels[options.image]}"
    print(f"wrote {options.output}: {images[options.image].size} bytes{known}")


if __name__ == "__main__":
    main()
