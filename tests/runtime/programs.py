"""Random valid programs, instruction by instruction: small, strange, and with every byte of the SRAM as their output."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from tests.runtime.streams import Stream, with_streams
from tvm_re2na.codegen.arch import TABLE_BYTES, AccOverflow, Architecture, CutOverflow, Rounding, WeightCoding
from tvm_re2na.codegen.isa import ENGINES, Instruction, Mode
from tvm_re2na.codegen.isa.encoding import make
from tvm_re2na.codegen.program import Program, ProgramTensor, SourceOperator

SRAM = 4096
INPUT = 512  # bytes of the program's input, loaded over a part of the SRAM
SOURCES = 3
SIMPLE = ("CONV", "POOL", "ELTWISE", "DENSE", "LOOKUP", "LOAD", "STORE")
MEMORIES = ("dram", "sram")
MODES = {"POOL": Mode.POOL, "ELTWISE": Mode.ELTWISE, "DENSE": Mode.DENSE}


def random_arch(rng: np.random.Generator, sram_bytes: int = SRAM) -> Architecture:
    """Any arithmetic, any timing, any shapes, a small SRAM."""
    own = rng.spawn(1)[0]  # what it draws leaves the rest of the program alone
    rows, columns = (int(rng.choice([4, 16, 48, 64])) for _ in range(2))
    possible = sum(1 << bit for bit in range(13) if rows * columns % (1 << bit) == 0)
    return Architecture(
        array_rows=rows,
        array_columns=columns,
        array_shapes=possible & int(rng.integers(2**13)) if rng.random() < 0.5 else 0,
        sram_bytes=sram_bytes,
        acc_bits=int(rng.choice([17, 17, 2, 4, 9, 12, 20, 31, 32])),
        data_bits=int(rng.choice([8, 8, 7, 5, 2])),
        mac_latency=int(rng.integers(1, 9)),
        mac_interval=int(rng.integers(1, 9)),
        acc_overflow=AccOverflow(int(rng.integers(2))),
        cut_overflow=CutOverflow(int(rng.integers(2))),
        rounding=Rounding(int(rng.integers(2))),
        sram_bytes_per_cycle=int(rng.choice([1, 7, 64, 4096])),
        dram_bytes_per_cycle=int(rng.choice([1, 5, 24])),
        dram_latency=int(rng.choice([0, 3, 100])),
        reconfigure_cycles=int(rng.choice([0, 5, 64])),
        alu_interval=int(rng.integers(1, 4)),
        array_fill_cycles=int(rng.choice([0, 8])),
        activation_table=1,
        channel_cuts=int(rng.integers(2)),
        weight_coding=WeightCoding(int(own.integers(3))),
        decoder_bytes_per_cycle=int(own.choice([1, 3, 64, 256])),
    )


@dataclass
class Maker:
    """Draws instructions that fit an architecture."""

    rng: np.random.Generator
    arch: Architecture
    dram_bytes: int
    constants_bytes: int
    streams: Sequence[Stream] = ()

    def draw(self, name: str) -> list[Instruction]:
        """One instruction with what has to stand before it, or several for sums in parts."""
        if name in ("LOAD", "STORE"):
            coded = name == "LOAD" and self.streams and self._int(0, 2)
            return [self._decode() if coded else self._transfer(name)]
        if name == "LOOKUP":
            return [self._lookup()]
        if name == "CONV":
            conv = self._conv()
            mode = Mode.GROUPED if conv["groups"] > 1 else Mode.CONV
            parts = [conv] if conv["groups"] > 1 or self._int(0, 2) else self._parts(conv)
            return [self._make("RECONFIGURE", mode=mode, rows=conv["rows"]), *parts]
        body = {"POOL": self._pool, "ELTWISE": self._eltwise, "DENSE": self._dense}[name]()
        return [self._make("RECONFIGURE", mode=MODES[name], rows=self.arch.array_rows), *body]

    def _make(self, name: str, **values: int) -> Instruction:
        return make(name, self._int(0, SOURCES), **{field: int(value) for field, value in values.items()})

    def _int(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def _address(self, size: int, memory: int | None = None, low: int = 0) -> int:
        """Where `size` bytes fit, in the SRAM unless told; raises ValueError if they do not."""
        return low + self._int(0, (memory or self.arch.sram_bytes) - low - size + 1)

    def _clamp(self) -> dict[str, int]:
        lo, hi = sorted(self._int(-128, 128) for _ in range(2))
        return {"lo": lo, "hi": hi} if self._int(0, 2) else {"lo": -128, "hi": 127}

    def _retry(self, draw: Callable[[], Instruction]) -> Instruction:
        while True:
            try:
                return draw()
            except ValueError:
                continue

    def _transfer(self, name: str) -> Instruction:
        def draw() -> Instruction:
            size, rows, planes = self._int(1, 40), self._int(1, 6), self._int(1, 4)
            strides = [self._int(0, 90) for _ in range(4)]
            steps = (rows - 1, planes - 1)
            dram = size + steps[0] * strides[0] + steps[1] * strides[1]
            sram = size + steps[0] * strides[2] + steps[1] * strides[3]
            low = self.constants_bytes if name == "STORE" else 0
            written = self.constants_bytes + INPUT  # before the program starts
            limit = self.dram_bytes if name == "STORE" else written
            return self._make(
                name,
                dram_addr=self._address(dram, limit, low),
                sram_addr=self._address(sram),
                bytes=size,
                rows=rows,
                planes=planes,
                dram_row_stride=strides[0],
                dram_plane_stride=strides[1],
                sram_row_stride=strides[2],
                sram_plane_stride=strides[3],
            )

        return self._retry(draw)

    def _decode(self) -> Instruction:
        """The strides mean nothing."""
        stream = self.streams[self._int(0, len(self.streams))]
        strides = {f"{memory}_{step}_stride": self._int(0, 90) for memory in MEMORIES for step in ("row", "plane")}
        places = {"dram_addr": stream.address, "sram_addr": self._address(stream.bytes)}
        return self._make("LOAD", **places, bytes=stream.bytes, coded=stream.coded, rows=1, planes=1, **strides)

    def _images(self, in_c: int, out_c: int) -> dict[str, int]:
        n, in_h, in_w, out_h, out_w = (self._int(*ends) for ends in ((1, 3), (0, 7), (0, 7), (1, 6), (1, 6)))
        values = {"n": n, "in_h": in_h, "in_w": in_w, "in_c": in_c, "out_h": out_h, "out_w": out_w}
        if n * out_h * out_w * out_c > self.arch.sram_bytes:
            raise ValueError("more outputs than the SRAM has bytes")
        tidy = self._int(0, 4) > 0  # otherwise pixels, rows and images may overlap
        values |= self._view("in", (n, in_h, in_w, in_c), tidy) | self._view("out", (n, out_h, out_w, out_c), tidy)
        values |= {"pad_top": self._int(0, 4), "pad_left": self._int(0, 4)}
        for axis in ("h", "w"):
            values |= {f"kernel_{axis}": self._int(1, 4), f"stride_{axis}": self._int(1, 4)}
            values[f"dilation_{axis}"] = self._int(1, 3)
        return values

    def _view(self, side: str, size: tuple[int, int, int, int], tidy: bool) -> dict[str, int]:
        """Address and strides of (n, height, width, channels) somewhere in the SRAM."""
        n, height, width, channels = size
        pixel = channels + self._int(0, 2) * 3 if tidy else self._int(0, channels + 4)
        row = pixel * max(width, 1) + self._int(0, 2) * 5 if tidy else self._int(0, pixel * width + 4)
        image = row * max(height, 1) + self._int(0, 2) * 7 if tidy else self._int(0, row * height + 4)
        empty = width == 0 or height == 0
        span = 0 if empty else (n - 1) * image + (height - 1) * row + (width - 1) * pixel + channels
        strides = {f"{side}_pixel_stride": pixel, f"{side}_row_stride": row, f"{side}_image_stride": image}
        return {**strides, f"{side}_addr": self._address(span)}

    def _conv(self) -> Instruction:
        def draw() -> Instruction:
            rows, columns = self.arch.shapes[self._int(0, len(self.arch.shapes))]
            groups = int(self.rng.choice([1, 1, 2, 3, 4]))
            outputs = self._int(1, max(2, min(40, rows) // groups + 1))
            channels = 1 if groups > 1 and self._int(0, 2) else self._int(1, 7)
            if groups * outputs > rows:
                raise ValueError
            if groups > 1 and self._int(0, 2):  # depthwise
                channels, outputs = 1, 1
            values = self._images(channels * groups, outputs * groups)
            k = values["kernel_h"] * values["kernel_w"] * channels
            cuts = int(self.arch.channel_cuts and self._int(0, 2))
            values |= self._linear(k, outputs * groups, cuts) | self._output_path(values, outputs * groups, columns)
            return self._make("CONV", **values, cuts=cuts, out_c=outputs * groups, groups=groups, rows=rows)

        return self._retry(draw)

    def _parts(self, conv: Instruction) -> list[Instruction]:
        """The same sums in parts, each over some of the input channels, or one part alone that finds whatever lies there."""
        pixels = conv["n"] * conv["out_h"] * conv["pool_h"] * conv["out_w"] * conv["pool_w"]
        size = 4 * pixels * conv["out_c"]
        if size > self.arch.sram_bytes:
            return [conv]
        parked = self._address(size) if self._int(0, 3) else self.arch.sram_bytes - size
        count = self._int(1, 5)
        ends = [(part == 0, part == count - 1) for part in range(count)]
        if count == 1:
            ends = [(self._int(0, 2), self._int(0, 2))]
        return [self._retry(partial(self._part, conv, first=at[0], last=at[1], sum_addr=parked)) for at in ends]

    def _part(self, conv: Instruction, **values: int) -> Instruction:
        start = self._int(0, conv["in_c"])
        channels = self._int(1, conv["in_c"] - start + 1)
        k = conv["kernel_h"] * conv["kernel_w"] * channels
        values |= {"in_c": channels, "in_addr": conv["in_addr"] + start}
        own = self._linear(k, conv["out_c"], conv["cuts"])
        return self._make("CONV", **{**conv.values, **own, **values})

    def _output_path(self, values: dict[str, int], out_c: int, columns: int) -> dict[str, int]:
        """Nothing, a window, or a second operand; the latter sometimes just where the output goes."""
        kind = self._int(0, 4)
        if kind == 0:
            pool_h, pool_w = self._int(1, 4), self._int(1, 4)
            return {"pool_h": pool_h, "pool_w": pool_w} if pool_h * pool_w <= columns else {}
        if kind > 1:
            return {}
        lo, hi = self._clamp().values()
        size = (values["n"], values["out_h"], values["out_w"], out_c)
        view = self._view("add", size, self._int(0, 4) > 0)
        if self._int(0, 2):
            view |= {name: values[name.replace("add", "out", 1)] for name in view}
        return {"add": 1, **view, "add_lo": lo, "add_hi": hi, **self._shifts()}

    def _shifts(self) -> dict[str, int]:
        return {name: self._int(0, min(self.arch.acc_bits, 10)) for name in ("shift_a", "shift_b")}

    def _linear(self, k: int, outputs: int, cuts: int = 0) -> dict[str, int]:
        """Weights for all of k or for some of it; what the bitmap holds is whatever lies there."""
        steps = k if self._int(0, 2) else self._int(0, k + 1)
        sparse = {"mask_addr": self._address(-(-k // 8))} if steps < k or self._int(0, 4) == 0 else {}
        addresses = {"weight_addr": self._address(steps * outputs), "bias_addr": self._address((4 + cuts) * outputs)}
        return {**addresses, **sparse, "steps": steps, "lsb": self._int(0, self.arch.acc_bits), **self._clamp()}

    def _pool(self) -> list[Instruction]:
        def draw() -> Instruction:
            channels = self._int(1, 20)
            return self._make(
                "POOL", **self._images(channels, channels), pad_value=self._int(-128, 128), **self._clamp()
            )

        return [self._retry(draw)]

    def _eltwise(self) -> list[Instruction]:
        size = self._int(1, 700)
        addresses = {name: self._address(size) for name in ("a_addr", "b_addr", "out_addr")}
        if self._int(0, 2):
            addresses["out_addr"] = addresses["a_addr"]
        return [
            self._make("ELTWISE", **addresses, **self._shifts(), bytes=size, unary=self._int(0, 2), **self._clamp())
        ]

    def _lookup(self) -> Instruction:
        """Sometimes in place; the table may be whatever lies there, and be overwritten."""

        def draw() -> Instruction:
            n, height, width, channels = size = (*(self._int(*ends) for ends in ((1, 3), (1, 6), (1, 6), (1, 20))),)
            if n * height * width * channels > self.arch.sram_bytes:
                raise ValueError("more outputs than the SRAM has bytes")
            views = {side: self._view(side, size, self._int(0, 4) > 0) for side in ("in", "out")}
            if self._int(0, 2):
                views["out"] = {name.replace("in", "out", 1): value for name, value in views["in"].items()}
            sizes = {"n": n, "in_c": channels, "out_h": height, "out_w": width}
            return self._make("LOOKUP", **sizes, **views["in"], **views["out"], table_addr=self._address(TABLE_BYTES))

        return self._retry(draw)

    def _dense(self) -> list[Instruction]:
        n, parts = self._int(1, 9), self._int(1, 4)
        outputs = self._int(1, max(2, min(100, self.arch.pe_count // n) + 1))

        def draw(first: bool, last: bool) -> Instruction:
            k, in_stride, out_stride = self._int(1, 21), self._int(0, 40), self._int(0, outputs + 5)
            return self._make(
                "DENSE",
                in_addr=self._address(k + (n - 1) * in_stride),
                out_addr=self._address(outputs + (n - 1) * out_stride),
                **self._linear(k, outputs),
                n=n,
                in_c=k,
                out_c=outputs,
                in_image_stride=in_stride,
                out_image_stride=out_stride,
                first=first,
                last=last,
            )

        return [self._retry(partial(draw, part == 0, part == parts - 1)) for part in range(parts)]


def random_program(seed: int, names: tuple[str, ...] = SIMPLE, length: int = 4, sram_bytes: int = SRAM) -> Program:
    """Fills the SRAM, runs up to `length` drawn instructions, and gives back the whole SRAM."""
    rng = np.random.default_rng(seed)
    arch = random_arch(rng, sram_bytes)
    constants, streams = with_streams(rng.spawn(1)[0], arch, _constants(rng, sram_bytes))
    input_address, output_address = len(constants), len(constants) + INPUT
    maker = Maker(rng, arch, output_address + sram_bytes, len(constants), streams)
    body = [
        _copy("LOAD", 0, 0, sram_bytes),
        _copy("LOAD", input_address, int(rng.integers(sram_bytes - INPUT)), INPUT),
    ]
    for _ in range(int(rng.integers(1, length + 1))):
        body += maker.draw(str(rng.choice(names)))
    body += [_copy("STORE", output_address, 0, sram_bytes), make("HALT")]
    return Program(
        arch=arch,
        inputs=(ProgramTensor("x", (2, 256), (2, 4, 8, 8), input_address),),
        outputs=(ProgramTensor("sram", (4, sram_bytes // 256, 8, 8), (sram_bytes // 256, 4, 8, 8), output_address),),
        instructions=tuple(random_tokens(rng, body)),
        constants=constants,
        constants_address=0,
        dram_bytes=output_address + sram_bytes,
        sources=tuple(SourceOperator(f"op{index}", "test", 0) for index in range(SOURCES)),
    )


def long_sum_program(arch: Architecture, channels: int, value: int) -> Program:
    """One output of a 255 x 255 window over `channels`, all weights `value`."""
    size = 255 * 255 * channels
    constants = np.int32(2**31 - 1).tobytes() + np.full(size, value, np.int8).tobytes()
    start = len(constants)
    shape = dict.fromkeys(
        ("n", "out_h", "out_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "groups", "out_c"), 1
    )
    shape |= dict.fromkeys(("in_h", "in_w", "kernel_h", "kernel_w"), 255) | {"pad_top": 0, "pad_left": 0}
    strides = {"in_pixel_stride": channels, "in_row_stride": 255 * channels, "in_image_stride": 0}
    strides |= {"out_pixel_stride": 1, "out_row_stride": 1, "out_image_stride": 1}
    places = {"bias_addr": 0, "weight_addr": 4, "in_addr": start, "out_addr": start + size}
    cut = {"rows": arch.array_rows, "steps": size, "lsb": arch.acc_bits - 8, "lo": -128, "hi": 127}
    body = [
        _copy("LOAD", 0, 0, start + size),
        make("RECONFIGURE", mode=Mode.CONV, rows=arch.array_rows),
        make("CONV", **shape, **strides, **places, in_c=channels, **cut),
        _copy("STORE", start + size, start + size, 1),
        make("HALT"),
    ]
    return Program(
        arch=arch,
        inputs=(ProgramTensor("x", (1, channels, 255, 255), (1, channels, 255, 255), start),),
        outputs=(ProgramTensor("y", (1, 1), (1, 1, 1, 1), start + size),),
        instructions=tuple(body),
        constants=constants,
        constants_address=0,
        dram_bytes=start + size + 1,
        sources=(SourceOperator("conv", "conv2d", size),),
    )


def random_input(program: Program, seed: int) -> list[npt.NDArray[np.int8]]:
    """int8 values for every input."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in program.inputs]


def random_tokens(rng: np.random.Generator, body: list[Instruction]) -> list[Instruction]:
    """Any tokens with which the engines do not wait for each other for ever: many or few, in program order or another."""
    pairs = _any_tokens(rng, body) if rng.random() < 0.5 else _tokens_between_neighbours(body)
    dropped = rng.random() * rng.choice([0, 0, 0.1, 1])
    return _with_tokens(body, [pair for pair in pairs if rng.random() >= dropped])


def in_order(program: Program) -> Program:
    """The same with tokens that leave no other order than the program's."""
    body = list(program.instructions)
    return dataclasses.replace(program, instructions=tuple(_with_tokens(body, _tokens_between_neighbours(body))))


def _with_tokens(body: list[Instruction], pairs: list[tuple[int, int]]) -> list[Instruction]:
    waits, signals = [0] * len(body), [0] * len(body)
    for giver, taker in pairs:
        signals[giver] |= 1 << body[taker].engine
        waits[taker] |= 1 << body[giver].engine
    return [at.with_tokens(waits[i], signals[i]) for i, at in enumerate(body)]


def _tokens_between_neighbours(body: list[Instruction]) -> list[tuple[int, int]]:
    """(giver, taker) wherever the engine changes: whatever comes later in the program then happens later."""
    return [(i, i + 1) for i in range(len(body) - 1) if body[i].engine is not body[i + 1].engine]


def _any_tokens(rng: np.random.Generator, body: list[Instruction]) -> list[tuple[int, int]]:
    """Random pairs (giver, taker), satisfied by program order or by another order in which the engines could work."""
    order = range(len(body)) if rng.random() < 0.5 else _interleaving(rng, body)
    pairs = []
    for giver in ENGINES:
        for taker in ENGINES:
            given: deque[int] = deque()
            for index in order if giver is not taker else ():
                if body[index].engine is giver and rng.random() < 0.5:
                    given.append(index)
                elif body[index].engine is taker and given and rng.random() < 0.5:
                    pairs.append((given.popleft(), index))
    return pairs


def _interleaving(rng: np.random.Generator, body: list[Instruction]) -> list[int]:
    """Program order within an engine, chance between them; HALT, the last, stays the last."""
    queues = {engine: deque(i for i, at in enumerate(body[:-1]) if at.engine is engine) for engine in ENGINES}
    engines = [at.engine for at in body[:-1]]
    return [*(queues[engines[i]].popleft() for i in rng.permutation(len(engines))), len(body) - 1]


def _constants(rng: np.random.Generator, size: int) -> bytes:
    """Bytes of mixed size, so that read as int32 some are biases that fit and some are not."""
    values = rng.integers(-128, 128, size).astype(np.int8)
    words = values.view(np.int32)
    small = rng.random(words.size) < 0.5
    words[small] >>= int(rng.integers(8, 24))
    return values.tobytes()


def _copy(name: str, dram: int, sram: int, size: int) -> Instruction:
    strides = {f"{memory}_{step}_stride": 0 for memory in MEMORIES for step in ("row", "plane")}
    return make(name, dram_addr=dram, sram_addr=sram, bytes=size, rows=1, planes=1, **strides)


def changed(program: Program, index: int, **values: int) -> Program:
    """The program with some fields of one instruction replaced; `wait`, `signal` and `source` too."""
    at = program.instructions[index]
    new = Instruction(
        at.format,
        {**at.values, **{name: value for name, value in values.items() if name in at.values}},
        values.get("wait", at.wait),
        values.get("signal", at.signal),
        values.get("source", at.source),
    )
    instructions = (*program.instructions[:index], new, *program.instructions[index + 1 :])
    return dataclasses.replace(program, instructions=instructions)
