"""Numbers of people in Europe, and value added tax numbers."""

from __future__ import annotations

import re

from ringfence_detectors.checks import stdnum
from ringfence_detectors.identifier import ANY, Identifier, Sign
from ringfence_detectors.words import any_word

UK_NINO = Identifier(
    writings=("aa dd dd dd a",),
    between=(" ", "-"),
    one_piece=ANY,
    structure=re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]"),
    words=any_word("nino", "national insurance", "ni number", "ni no", "insurance number"),
    enough=(Sign.WRITTEN, Sign.WORD),
)
"""National Insurance number (HM Revenue & Customs, NIM39110)."""

UK_NHS = Identifier(
    writings=("ddd ddd dddd",),
    words=any_word("nhs", "nhs no", "nhs number"),
    is_valid=stdnum("gb.nhs"),
    enough=(Sign.WORD,),
)
"""NHS number (NHS Data Dictionary). North American telephone numbers look the same, so it needs its word."""

DE_TAX_ID = Identifier(
    writings=("dd ddd ddd ddd",),
    between=(" ",),
    structure=re.compile(r"[1-9][0-9]{10}"),
    words=any_word(
        "steuer id", "steuer identifikationsnummer", "steueridentifikationsnummer", "steuerliche identifikationsnummer",
        "steuer idnr", "identifikationsnummer", "idnr", "tin", "tax id", "steuer identnummer", "steuernummer",
    ),
    is_valid=stdnum("de.idnr"),
    enough=(Sign.WRITTEN | Sign.CHECK, Sign.WORD),
)  # fmt: skip
"""Steuerliche Identifikationsnummer (§ 139b AO), with a MOD 11,10 digit."""

FR_NIR = Identifier(
    writings=("d dd dd xx ddd ddd dd", "d dd dd xx ddd ddd"),
    between=(" ",),
    structure=re.compile(r"[123478][0-9]{2}(?:0[1-9]|1[0-2]|[2-9][0-9])(?:[0-9]{2}|2[AB])[0-9]{6}(?:[0-9]{2})?"),
    words=any_word("nir", "sécu", "sécurité sociale", "securite sociale", "numéro de sécu", "insee", "carte vitale"),
    is_valid=stdnum("fr.nir"),
    enough=(Sign.WRITTEN, Sign.CHECK, Sign.WORD),
)
"""Numéro d'inscription au répertoire (INSEE), thirteen digits, mostly with a key modulo 97."""

ES_DNI = Identifier(
    writings=("dd ddd ddd a", "dddddddd a", "a ddddddd a"),
    between=("..-", "-"),
    structure=re.compile(r"(?:[0-9]{8}|[XYZ][0-9]{7})[A-HJ-NP-TV-Z]"),
    words=any_word("dni", "nie", "nif", "documento nacional", "identidad"),
    is_valid=stdnum("es.dni", "es.nie"),
    enough=(Sign.CHECK, Sign.WORD),
)
"""Documento nacional de identidad and número de identidad de extranjero, with a letter modulo 23."""

IT_CODICE_FISCALE = Identifier(
    writings=("aaa aaa xx axx axxx a",),
    between=(" ",),
    one_piece=ANY,
    structure=re.compile(r"[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-7LMNP-T][0-9LMNP-V][A-Z][0-9LMNP-V]{3}[A-Z]"),
    words=any_word("codice fiscale", "cod fisc", "cf", "c.f", "tax code"),
    is_valid=stdnum("it.codicefiscale"),
    enough=(Sign.WRITTEN, Sign.CHECK, Sign.WORD),
)
"""Codice fiscale (DM 23 December 1976), also with letters for digits where two people would share one."""

NL_BSN = Identifier(
    writings=("ddd ddd ddd", "dddd dd ddd", "dddd ddddd", "dddddddd"),
    words=any_word("bsn", "burgerservicenummer", "sofinummer", "sofi nummer", "citizen service number"),
    is_valid=stdnum("nl.bsn"),
    enough=(Sign.WORD,),
)
"""Burgerservicenummer, with the eleven test."""

PL_PESEL = Identifier(
    writings=("ddddddddddd",),
    structure=re.compile(r"[0-9]{2}(?:[02468][1-9]|[13579][0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{5}"),
    words=any_word("pesel"),
    is_valid=stdnum("pl.pesel"),
    enough=(Sign.WORD,),
)
"""PESEL, with a birth date and a check digit."""

CH_AHV = Identifier(
    writings=("ddd dddd dddd dd",),
    between=(".", " "),
    structure=re.compile(r"756[0-9]{10}"),
    words=any_word("ahv", "avs", "oasi", "sozialversicherungsnummer", "versichertennummer"),
    is_valid=stdnum("ch.ssn"),
    enough=(Sign.WRITTEN, Sign.CHECK, Sign.WORD),
)
"""Swiss social security number: an EAN-13 that begins with 756."""

VAT_ID = Identifier(
    writings=(
        "aa dddddddddddd", "aa ddddddddd add", "aa ddd ddd ddd", "aa ddd dddd dd", "aa dddd ddd ddd", "aa dddddddddd",
        "aa ddddddddd", "aa dddddddd", "aa add ddd ddd", "aa addddddda", "aa adddddddd", "aa dddddddaa", "aa ddddddda",
        "aa dddddddda", "aa xx ddd ddd ddd", "aa xx ddddddddd", "aa ddddddddddd", "aa dddd dddd", "aa xxddddddd",
        "aa ddddddd",
    ),
    between=(" ",),
    structure=re.compile(
        r"(?:AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|GB|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI).+"
    ),
    words=any_word(
        "vat", "vat id", "vat no", "vat number", "ust id", "ustid", "ust idnr", "umsatzsteuer id", "tva", "p iva",
        "iva", "partita iva", "btw", "nif iva", "moms", "mwst",
    ),
    is_valid=stdnum("eu.vat", "gb.vat"),
    enough=(Sign.CHECK, Sign.WORD),
)  # fmt: skip
"""Value added tax numbers of the European Union and of Great Britain, with their country."""

__all__ = [
    "CH_AHV", "DE_TAX_ID", "ES_DNI", "FR_NIR", "IT_CODICE_FISCALE", "NL_BSN", "PL_PESEL", "UK_NHS", "UK_NINO", "VAT_ID",
]  # fmt: skip
