"""The instruction set: one table, and what derives from it."""

from tvm_re2na.codegen.isa.assembler import AssembleError, assemble, disassemble
from tvm_re2na.codegen.isa.durations import duration, duration_parts
from tvm_re2na.codegen.isa.encoding import DecodeError, EncodeError, Instruction, decode, encode, make
from tvm_re2na.codegen.isa.table import ENGINES, INSTRUCTIONS, Engine, Field, InstructionFormat, Mode

__all__ = [
    "ENGINES",
    "INSTRUCTIONS",
    "AssembleError",
    "DecodeError",
    "EncodeError",
    "Engine",
    "Field",
    "Instruction",
    "InstructionFormat",
    "Mode",
    "assemble",
    "decode",
    "disassemble",
    "duration",
    "duration_parts",
    "encode",
    "make",
]
