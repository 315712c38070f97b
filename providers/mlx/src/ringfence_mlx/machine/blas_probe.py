"""Run as a program with a library preloaded: says where `cblas_sgemm` comes from, its version, and if it is right.

It uses the standard library alone, so that nothing but the preloaded library can bring the symbol.
"""

from __future__ import annotations

import ctypes
import json
import sys

_ROW_MAJOR, _NO_TRANSPOSE = 101, 111
_LONGEST_VERSION = 200


class _SymbolPlace(ctypes.Structure):
    """`Dl_info` of dladdr(3)."""

    _fields_ = (
        ("file_name", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol_name", ctypes.c_char_p),
        ("symbol", ctypes.c_void_p),
    )


def probe() -> dict[str, object]:
    """What the symbol that MLX would find in this process is.

    Raises:
        AttributeError: there is none.
    """
    loaded = ctypes.CDLL(None)
    return {"library": _place(loaded), "right": _multiplies(loaded), "version": _version(loaded)}


def _place(loaded: ctypes.CDLL) -> str:
    place = _SymbolPlace()
    found = loaded.dladdr(ctypes.cast(loaded.cblas_sgemm, ctypes.c_void_p), ctypes.byref(place))
    return (place.file_name or b"").decode(errors="replace") if found else ""


def _multiplies(loaded: ctypes.CDLL) -> bool:
    """[[1, 2], [3, 4]] times [[5, 6], [7, 8]]."""
    matrix = ctypes.c_float * 4
    left, right, product = matrix(1, 2, 3, 4), matrix(5, 6, 7, 8), matrix()
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    layout = (_ROW_MAJOR, _NO_TRANSPOSE, _NO_TRANSPOSE)
    loaded.cblas_sgemm(*layout, 2, 2, 2, one, left, 2, right, 2, zero, product, 2)
    return list(product) == [19, 22, 43, 50]


def _version(loaded: ctypes.CDLL) -> str | None:
    text = ctypes.create_string_buffer(_LONGEST_VERSION)
    if hasattr(loaded, "mkl_get_version_string"):
        loaded.mkl_get_version_string(text, _LONGEST_VERSION - 1)
        words = text.value.decode(errors="replace").split()
        return next((word.partition("-")[0] for word in words if word[:1].isdigit()), None)
    if hasattr(loaded, "openblas_get_config"):
        loaded.openblas_get_config.restype = ctypes.c_char_p
        words = (loaded.openblas_get_config() or b"").decode(errors="replace").split()
        return next((word for word in words if word[:1].isdigit()), None)
    return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()))
