"""The kinds, named as the default set names them where they mean the same. Each is made when it is first asked for."""

from __future__ import annotations

from functools import cache
from typing import Final

from ringfence.privacy.detector import Detector
from ringfence_detector_presidio.patterns import PatternDetector
from ringfence_detector_presidio.reading import ReadingDetector

RECOGNIZERS: Final = {
    "EMAIL": ("EmailRecognizer",),
    "PHONE": ("PhoneRecognizer",),
    "CREDIT_CARD": ("CreditCardRecognizer",),
    "IBAN": ("IbanRecognizer",),
    "IP_ADDRESS": ("IpRecognizer",),
    "MAC_ADDRESS": ("MacAddressRecognizer",),
    "CRYPTO_ADDRESS": ("CryptoRecognizer",),
    "US_SSN": ("UsSsnRecognizer",),
    "US_ITIN": ("UsItinRecognizer",),
    "UK_NHS": ("NhsRecognizer",),
    "UK_NINO": ("UkNinoRecognizer",),
    "IT_CODICE_FISCALE": ("ItFiscalCodeRecognizer",),
    "PL_PESEL": ("PlPeselRecognizer",),
    "ES_DNI": ("EsNifRecognizer", "EsNieRecognizer"),
    "SG_NRIC": ("SgFinRecognizer",),
    "IN_PAN": ("InPanRecognizer",),
    "IN_AADHAAR": ("InAadhaarRecognizer",),
}
"""Presidio's pattern recognisers of each kind."""

ENTITIES: Final = {
    "PERSON_NAME": "PERSON",
    "LOCATION": "LOCATION",
    "NATIONALITY": "NRP",
    "ORGANISATION": "ORGANIZATION",
}
"""What presidio calls each kind that needs a spaCy model."""


def __getattr__(name: str) -> Detector:
    """The detector of an entry point; what it needs is imported now. One that lacks its model cannot be loaded."""
    if name not in RECOGNIZERS and name not in ENTITIES:
        raise AttributeError(f"module has no attribute {name!r}")
    return _made(name)


@cache
def _made(name: str) -> Detector:
    return PatternDetector(*RECOGNIZERS[name]) if name in RECOGNIZERS else ReadingDetector(ENTITIES[name])


__all__ = ["ENTITIES", "RECOGNIZERS"]
