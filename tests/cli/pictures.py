"""The same images as a folder, as a file, and as a map-style dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RNG = np.random.default_rng(7)
Labels = Sequence[int] | npt.NDArray[Any]


def picture(pixels: npt.NDArray[np.uint8]) -> Any:
    """Pillow's, of (C, H, W)."""
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)))


def save_folder(folder: Path, x: npt.NDArray[np.uint8], y: Labels) -> Path:
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
        picture(pixels).save(folder / f"class{label}" / f"{index}.png")
    return folder


def save_npz(path: Path, x: npt.NDArray[np.uint8], y: Labels, **more: Sequence[float]) -> Path:
    numbers = {name: np.array(values, np.float32) for name, values in more.items()}
    np.savez(path, x=x, y=np.array(y), **numbers)  # type: ignore[arg-type]
    return path


@dataclass
class Listed:
    """A map-style dataset, as anyone writes one."""

    images: Any
    labels: Any
    opened: int = 0

    @classmethod
    def of_pictures(cls, x: npt.NDArray[np.uint8], y: Labels) -> Listed:
        return cls([picture(pixels) for pixels in x], y)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self.opened += 1
        return self.images[index], self.labels[index]
