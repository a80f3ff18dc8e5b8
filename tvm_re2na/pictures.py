"""Pictures as pixels of a network's size: resized, cropped, in colour or grey. All of Pillow stands here."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.npz import DataError
from tvm_re2na.preprocessing import Preprocessing

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (C, H, W)

MOST_PIXELS = 2**26  # of a picture: 256 MiB when it is decoded
GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Frame:
    """How a picture becomes pixels. `fit`: the network's (H, W), which pictures of another size are resized and cropped to."""

    channels: int
    resize: tuple[int, ...] | None
    crop: tuple[int, int] | None
    gray: bool
    fit: tuple[int, int] | None

    @classmethod
    def of(cls, how: Preprocessing, channels: int, fit: tuple[int, int] | None) -> Frame:
        crop = None if how.crop is None else (how.crop[0], how.crop[-1])
        if crop is None and how.resize is not None and len(how.resize) == 1:
            crop = fit or (how.resize[0], how.resize[0])  # of the shorter side's pictures there is one size in the end
        return cls(1 if how.gray else channels, how.resize, crop, bool(how.gray), fit)

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the result; None where it is the picture's."""
        if self.crop is not None:
            return self.crop
        return self.fit if self.resize is None else (self.resize[0], self.resize[-1])

    def of_file(self, file: Path) -> Pixels:
        return self._cut(self._opened(file), str(file))

    def of_image(self, image: Any, where: str) -> Pixels:
        """Of Pillow's."""
        return self._cut(self._converted(image, where), where)

    def of_pixels(self, pixels: Pixels, where: str) -> Pixels:
        """Of pixels (C, H, W), which stay what they are if there is nothing to do."""
        channels, *size = pixels.shape
        if channels == self.channels and (self.size is None or (self.resize is None and self.size == tuple(size))):
            return pixels
        if channels not in MODES:
            raise DataError(f"{where}: {channels} channels, pictures are resized, cropped and made grey with 1 or 3")
        require_pillow(where)
        from PIL import Image

        array = pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)
        return self.of_image(Image.fromarray(np.ascontiguousarray(array)), where)

    def _opened(self, file: Path) -> Any:
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there is a limit of ours
                with Image.open(file) as opened:
                    if math.prod(opened.size) > MOST_PIXELS:
                        size = f"{opened.size[0]}x{opened.size[1]}"
                        raise DataError(f"{file}: {size} pixels, at most {MOST_PIXELS} are read")
                    return self._converted(opened, str(file))
        except (DataError, MemoryError, FileNotFoundError, PermissionError):
            raise
        # a decoder that comes upon damage raises anything: SyntaxError, struct.error, IndexError, ...
        except Exception as error:
            raise DataError(f"{file}: no readable image ({error})") from error

    def _converted(self, image: Any, where: str) -> Any:
        if self.channels == 1 and not self.gray and image.mode not in GREY_MODES:
            raise DataError(f"{where}: a picture in colour ({image.mode}), one channel was expected; --gray converts")
        if image.mode.startswith("I"):  # of 16 bits; Pillow would cut off what is above 255
            from PIL import Image

            image = Image.fromarray((np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8))
        return image.convert(MODES[self.channels])

    def _cut(self, image: Any, where: str) -> Pixels:
        """Of those pixels alone that it takes: a strip of 1 x 3000 would be resized to 256 x 768,000."""
        width, height = image.size
        resized = self._resized(height, width)
        size = (height, width) if self.size is None else self.size
        if self.crop is None and self.resize is None and size == (height, width):
            resized = size
        if size[0] > resized[0] or size[1] > resized[1]:
            raise DataError(f"{where}: crop = {_text(size)}, the picture is {_text(resized)}")
        top, left = ((whole - part) // 2 for whole, part in zip(resized, size, strict=True))
        if resized == (height, width):
            image = image.crop((left, top, left + size[1], top + size[0]))
        else:
            rows, columns = (
                [at * side / whole for at in (first, first + part)]
                for first, part, side, whole in zip((top, left), size, (height, width), resized, strict=True)
            )
            image = _resize(image, size, (columns[0], rows[0], columns[1], rows[1]))
        pixels = np.asarray(image, np.uint8)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the whole picture before its centre is cut out."""
        if self.resize is not None and len(self.resize) == 2:
            return self.resize[0], self.resize[1]
        if self.resize is not None:
            least = (self.resize[0], self.resize[0])
        elif self.crop is None and self.fit is not None:
            least = (round(self.fit[0] * 256 / 224), round(self.fit[1] * 256 / 224))
        else:
            return height, width
        scale = max(least[0] / height, least[1] / width)
        return max(least[0], round(height * scale)), max(least[1], round(width * scale))


def is_picture(value: object) -> bool:
    """Whether it is one of Pillow's, which need not be there."""
    return all(hasattr(value, name) for name in ("mode", "size", "convert", "crop"))


def require_pillow(where: str) -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        from tvm_re2na.frontends import MissingPackageError

        raise MissingPackageError(f"{where}: pictures need Pillow: pip install 'tvm_re2na[images]'") from error


def _resize(image: Any, size: tuple[int, int], box: tuple[float, float, float, float]) -> Any:
    from PIL import Image

    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box)


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
