"""Check digits: python-stdnum's, loaded when first needed, and those it does not have. None of them raises."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

_HONG_KONG_LETTER = 36
_SINGAPORE_WEIGHTS = (2, 7, 6, 5, 4, 3, 2)
_SINGAPORE = {"S": (0, "JZIHGFEDCBA"), "T": (4, "JZIHGFEDCBA"), "F": (0, "XWUTRQPNMLK"), "G": (4, "XWUTRQPNMLK")}
_TAIWAN_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
_TAIWAN_WEIGHTS = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
_VIN_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def stdnum(*modules: str) -> Callable[[str], bool]:
    """Whether any of `modules` of python-stdnum takes a number for valid."""

    def is_valid(number: str) -> bool:
        return any(_is_valid(module, number) for module in modules)

    return is_valid


def _is_valid(module: str, number: str) -> bool:
    try:
        return bool(_validator(module)(number))
    except Exception:  # noqa: BLE001  (python-stdnum has raised more than it documents: cn.ric a KeyError)
        return False


@cache
def _validator(module: str) -> Callable[[str], bool]:
    validator: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    return validator


def chinese_resident(number: str) -> bool:
    """ISO 7064 MOD 11-2 over 18 characters (GB 11643-1999); whether the county exists is not asked."""
    total = sum(int(digit) * (1 << (17 - place)) for place, digit in enumerate(number[:17])) if len(number) == 18 else 0  # noqa: PLR2004
    return bool(total) and "10X98765432"[total % 11] == number[17]


def hong_kong_identity(number: str) -> bool:
    """One or two letters, six digits, a check character: a weighted sum that 11 divides."""
    body, check = number[:-1].rjust(8), number[-1]
    values = [_HONG_KONG_LETTER if character == " " else int(character, 36) for character in body]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return (total + (10 if check == "A" else int(check, 36))) % 11 == 0


def singapore_identity(number: str) -> bool:
    """A letter for the series, seven digits, a check letter."""
    series = _SINGAPORE.get(number[0])
    if series is None:
        return False
    offset, letters = series
    total = offset + sum(int(digit) * weight for digit, weight in zip(number[1:8], _SINGAPORE_WEIGHTS, strict=True))
    return letters[total % 11] == number[8]


def taiwan_identity(number: str) -> bool:
    """A letter that stands for a place, nine digits or a letter and eight: a weighted sum that 10 divides."""
    second = number[1] if number[1].isdigit() else str(_TAIWAN_LETTERS.index(number[1]) % 10)
    digits = [int(digit) for digit in f"{_TAIWAN_LETTERS.index(number[0]) + 10}{second}{number[2:]}"]
    return sum(digit * weight for digit, weight in zip(digits, _TAIWAN_WEIGHTS, strict=True)) % 10 == 0


def vehicle(number: str) -> bool:
    """The ninth character of a vehicle identification number, as North America requires it (49 CFR 565.15)."""
    values = [int(character) if character.isdigit() else _VIN_VALUES.get(character, 0) for character in number]
    total = sum(value * weight for value, weight in zip(values, _VIN_WEIGHTS, strict=True))
    return "0123456789X"[total % 11] == number[8]


__all__ = ["chinese_resident", "hong_kong_identity", "singapore_identity", "stdnum", "taiwan_identity", "vehicle"]
