"""Numbers of people in Asia and the Pacific: China, Hong Kong, Taiwan, Singapore, Japan, Korea, India, Australia."""

from __future__ import annotations

import re

from ringfence_detectors.checks import chinese_resident, hong_kong_identity, singapore_identity, stdnum, taiwan_identity
from ringfence_detectors.identifier import ANY, Identifier, Sign
from ringfence_detectors.words import any_word

_IDENTITY_WORDS = (
    "身份证", "身份證", "身份号", "公民身份", "证件号", "證件號", "居民证", "identity card", "identity number",
    "id card", "id no", "id number", "id num", "national id", "citizen id", "resident id",
)  # fmt: skip

CN_RESIDENT_ID = Identifier(
    writings=("dddddd dddddddd dddx", "dddddd dddd dddd dddx", "ddd ddd dddd dddd dddx", "dddddd dddddd ddd"),
    structure=re.compile(r"[0-9]{17}[0-9X]|[0-9]{8}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}"),
    words=any_word(*_IDENTITY_WORDS),
    is_valid=chinese_resident,
    one_piece=re.compile(r"[1-8][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]"),
    between=(" ", "-"),
    enough=(Sign.WRITTEN, Sign.CHECK, Sign.WORD),
)
"""Citizen identity number (GB 11643-1999): 18 characters with a birth date and a check digit; 15 digits before 1999."""

HK_ID = Identifier(
    writings=("a dddddd x", "aa dddddd x"),
    between=("0(", " ("),
    structure=re.compile(r"[A-Z]{1,2}[0-9]{6}[0-9A]"),
    words=any_word("hkid", "hk id", "hong kong identity", "香港身份证", "香港身份證", *_IDENTITY_WORDS),
    is_valid=hong_kong_identity,
    enough=(Sign.WRITTEN, Sign.WORD),
)
"""Hong Kong identity card number, with its check digit in brackets, or its word."""

TW_ID = Identifier(
    writings=("a ddddddddd", "aa dddddddd"),
    structure=re.compile(r"[A-Z](?:[1289][0-9]{8}|[ABCD][0-9]{8})"),
    words=any_word("身分證", "身分证", "統一編號", "統一證號", "居留證", *_IDENTITY_WORDS),
    is_valid=taiwan_identity,
    enough=(Sign.CHECK, Sign.WORD),
)
"""Taiwan national identification number and new residence number."""

SG_NRIC = Identifier(
    writings=("a ddddddd a",),
    between=(" ", "-"),
    one_piece=ANY,
    structure=re.compile(r"[STFGM][0-9]{7}[A-Z]"),
    words=any_word("nric", "fin", "fin no", *_IDENTITY_WORDS),
    is_valid=singapore_identity,
    enough=(Sign.CHECK, Sign.WORD),
)
"""Singapore NRIC and FIN."""

JP_MY_NUMBER = Identifier(
    writings=("dddd dddd dddd",),
    words=any_word("my number", "マイナンバー", "個人番号"),
    is_valid=stdnum("jp.in_"),
    enough=(Sign.WORD,),
)
"""Japanese individual number (個人番号)."""

KR_RRN = Identifier(
    writings=("dddddd ddddddd",),
    between=("-",),
    structure=re.compile(r"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{7}"),
    words=any_word("rrn", "resident registration", "주민등록번호", "주민번호", "외국인등록번호"),
    is_valid=stdnum("kr.rrn"),
    enough=(Sign.WRITTEN, Sign.WORD),
)
"""Korean resident registration number; since 2020 its last digits are random, so there is no check."""

IN_AADHAAR = Identifier(
    writings=("dddd dddd dddd",),
    between=(" ", "-"),
    structure=re.compile(r"[2-9][0-9]{11}"),
    words=any_word("aadhaar", "aadhar", "adhaar", "uidai", "uid", "आधार"),
    is_valid=stdnum("in_.aadhaar"),
    enough=(Sign.WRITTEN | Sign.CHECK, Sign.WORD),
)
"""Aadhaar (UIDAI), with a Verhoeff digit."""

IN_PAN = Identifier(
    writings=("aaaaa dddd a",),
    one_piece=re.compile(r"[A-Z]{3}[ABCFGHJLPTK][A-Z][0-9]{4}[A-Z]"),
    between=(" ", "-"),
    words=any_word("pan", "permanent account"),
    enough=(Sign.WRITTEN, Sign.WORD),
)
"""Permanent account number (Income Tax Department of India)."""

AU_TFN = Identifier(
    writings=("ddd ddd ddd", "dd ddd ddd"),
    words=any_word("tfn", "tax file"),
    is_valid=stdnum("au.tfn"),
    enough=(Sign.WORD,),
)
"""Tax file number (Australian Taxation Office)."""

__all__ = [
    "AU_TFN", "CN_RESIDENT_ID", "HK_ID", "IN_AADHAAR", "IN_PAN", "JP_MY_NUMBER", "KR_RRN", "SG_NRIC", "TW_ID",
]  # fmt: skip
