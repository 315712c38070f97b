"""Vehicle identification numbers."""

from __future__ import annotations

import re

from ringfence_detectors.checks import vehicle
from ringfence_detectors.identifier import Identifier, Sign
from ringfence_detectors.words import any_word

VIN = Identifier(
    writings=("x" * 17,),
    structure=re.compile(r"(?=.*[A-Z].*[A-Z])[A-HJ-NPR-Z0-9]{13}[0-9]{4}"),
    words=any_word(
        "vin", "vehicle identification", "chassis", "fahrgestellnummer", "fin", "fahrzeug ident", "车架号", "车辆识别"
    ),
    is_valid=vehicle,
    enough=(Sign.CHECK, Sign.WORD),
)
"""Vehicle identification number (ISO 3779); its check digit is required in North America and China only."""

__all__ = ["VIN"]
