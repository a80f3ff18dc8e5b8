"""What the compiler raises when a network cannot be mapped."""


class CompileError(ValueError):
    """The network does not fit the machine; the message names the operator, what it needs, what there is, and the excess."""


def does_not_fit(name: str, required: int, available: int) -> CompileError:
    excess = required - available
    return CompileError(f"{name}: needs {required} bytes of SRAM, {available} are available, {excess} too many")
