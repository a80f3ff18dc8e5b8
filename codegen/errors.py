"""What the compiler raises when a network cannot be mapped."""


class CompileError(ValueError):
    """The network does not fit the machine; the message names the operator, what it needs, what there is, the excess."""


class UnitTooLarge(CompileError):
    """Even the smallest tiling of unit number `unit` needs more SRAM than there is; sizes in bytes."""

    def __init__(self, unit: int, name: str, required: int, available: int) -> None:
        excess = required - available
        super().__init__(f"{name}: needs {required} bytes of SRAM, {available} are available, {excess} too many")
        self.unit = unit
