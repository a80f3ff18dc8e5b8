"""The instruction set: one table, and what derives from it."""

from tvm_re2na.codegen.isa.encoding import DecodeError, Instruction, decode, encode
from tvm_re2na.codegen.isa.table import ENGINES, INSTRUCTIONS, Engine, Field, InstructionFormat, Mode

__all__ = [
    "ENGINES",
    "INSTRUCTIONS",
    "DecodeError",
    "Engine",
    "Field",
    "Instruction",
    "InstructionFormat",
    "Mode",
    "decode",
    "encode",
]
