"""Numbers of people in the Americas: United States, Canada, Brazil."""

from __future__ import annotations

import re

from ringfence_detectors.checks import stdnum
from ringfence_detectors.identifier import Identifier, Sign
from ringfence_detectors.words import any_word

US_SSN = Identifier(
    writings=("ddd dd dddd",),
    between=("-",),
    structure=re.compile(r"(?!000|9)[0-9]{9}"),
    words=any_word(
        "ssn", "ssns", "social security", "social sec", "soc sec", "sozialversicherungsnummer", "社会安全号", "社安号"
    ),
    is_valid=stdnum("us.ssn"),
    enough=(Sign.WRITTEN, Sign.WORD),
)
"""Social Security number (Social Security Administration)."""

US_ITIN = Identifier(
    writings=("ddd dd dddd",),
    between=("-",),
    structure=re.compile(r"9[0-9]{2}(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])[0-9]{4}"),
    words=any_word("itin", "taxpayer identification", "taxpayer id", "tax id", "tin"),
    enough=(Sign.WRITTEN, Sign.WORD),
)
"""Individual taxpayer identification number (Internal Revenue Service, publication 1915)."""

US_EIN = Identifier(
    writings=("dd ddddddd",),
    between=("-",),
    words=any_word("ein", "feins", "fein", "employer identification", "employer id", "federal tax id", "tax id"),
    enough=(Sign.WORD,),
)
"""Employer identification number (Internal Revenue Service)."""

CA_SIN = Identifier(
    writings=("ddd ddd ddd",),
    between=("-",),
    words=any_word("sin", "social insurance", "assurance sociale", "nas"),
    is_valid=stdnum("ca.sin"),
    enough=(Sign.WRITTEN | Sign.CHECK, Sign.WORD),
)
"""Social insurance number (Service Canada), with a Luhn digit."""

BR_CPF = Identifier(
    writings=("ddd ddd ddd dd",),
    between=("..-",),
    words=any_word("cpf", "cadastro de pessoas"),
    is_valid=stdnum("br.cpf"),
    enough=(Sign.WRITTEN, Sign.WORD),
)
"""Cadastro de Pessoas Físicas (Receita Federal), with two check digits."""

__all__ = ["BR_CPF", "CA_SIN", "US_EIN", "US_ITIN", "US_SSN"]
