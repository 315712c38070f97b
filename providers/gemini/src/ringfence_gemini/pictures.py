"""From a size in pixels to the shapes and sizes that the API names."""

from __future__ import annotations

import math

from ringfence.errors import Unsupported

_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9")
"""As `types.ImageConfig` lists them."""

_SIZES = {"1K": 1024, "2K": 2048, "4K": 4096}
_TOLERANCE = 0.05


def image_config(size: str, *, sizes: bool) -> tuple[dict[str, str], bool]:
    """The `imageConfig` for `size`, and whether it says exactly that. `sizes` is whether the model has several.

    Raises:
        Unsupported: no shape or size of the API is near.
    """
    width, height = map(int, size.split("x"))
    ratio = min(_RATIOS, key=lambda one: _distance(one, width / height))
    if _distance(ratio, width / height) > _TOLERANCE:
        raise Unsupported(
            "Gemini draws no picture of this shape", setting="image_size", way_out=f"one of {', '.join(_RATIOS)}"
        )
    exact = ratio == "1:1" and width == height
    if not sizes:
        return {"aspectRatio": ratio}, exact and width == _SIZES["1K"]
    # A named size is the side of the square with as many pixels.
    side = math.sqrt(width * height)
    name = next((name for name, pixels in _SIZES.items() if side <= pixels * (1 + _TOLERANCE)), None)
    if name is None:
        raise Unsupported("Gemini draws no picture of this size", setting="image_size", way_out="at most 4096x4096")
    return {"aspectRatio": ratio, "imageSize": name}, exact and width == _SIZES[name]


def _distance(ratio: str, asked: float) -> float:
    """How far the two are apart, as a share."""
    width, height = map(int, ratio.split(":"))
    return abs(math.log(asked / (width / height)))
