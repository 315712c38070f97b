"""Codes of banks, and addresses in ledgers of crypto-currencies."""

# ruff: noqa: SIM905  (a long list reads better in one string)

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.privacy.detector import Hit
from ringfence_detectors.checks import stdnum
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector
from ringfence_detectors.words import any_word, stands_beside

# ISO 3166-1, and XK that banks use.
_COUNTRIES = frozenset(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA "
    "CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA "
    "GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP "
    "KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS "
    "MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS "
    "RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW "
    "TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW".split()
)
_BIC_WORD = re.compile(r"BIC|SWIFT|bic|swift|Swift")
_BIC = re.compile(r"(?<![A-Za-z0-9])[A-Z]{4}([A-Z]{2})[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?![A-Za-z0-9])")
_BIC_CHARACTERS = 40

_BASE58 = re.compile(r"[13T][1-9A-HJ-NP-Za-km-z]{25,34}(?![A-Za-z0-9])")
_WITH_PREFIX = re.compile(r"0x[0-9A-Fa-f]{40}(?![A-Za-z0-9])|(?:bc1|tb1|ltc1)[02-9ac-hj-np-z]{25,87}(?![A-Za-z0-9])")
_CRYPTO_WORDS = any_word("btc", "bitcoin", "wallet", "crypto", "tron", "trc20", "usdt", "address", "钱包", "地址")
_is_bitcoin = stdnum("bitcoin")


class BicDetector(PlainDetector):
    """Finds bank identifier codes (ISO 9362) after the word BIC or SWIFT: alone they look like words in capitals."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every code, in order of start."""
        done = 0
        for word in _BIC_WORD.finditer(plain.text):
            match = _BIC.search(plain.text, max(done, word.end()), word.end() + _BIC_CHARACTERS)
            if match and match[1] in _COUNTRIES:
                done = match.end()
                yield plain.hit(*match.span())


class CryptoAddressDetector(PlainDetector):
    """Finds addresses of Bitcoin and its like (Base58 with its checksum or a word, Bech32), Ethereum and Tron."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every address, in order of start."""
        if not plain.spots and not any(prefix in plain.text for prefix in ("0x", "bc1", "tb1", "ltc1")):
            return
        done = 0
        for start, end in sorted(_crypto_spans(plain.text)):
            if start >= done and not plain.text[max(0, start - 1) : start].encode("ascii", "ignore").isalnum():
                done = end
                yield plain.hit(start, end)


def _crypto_spans(text: str) -> Iterator[tuple[int, int]]:
    for match in _WITH_PREFIX.finditer(text):
        yield match.span()
    for match in _BASE58.finditer(text):
        if _is_bitcoin(match[0]) or stands_beside(_CRYPTO_WORDS, text, *match.span()):
            yield match.span()


BIC = BicDetector()
CRYPTO_ADDRESS = CryptoAddressDetector()

__all__ = ["BIC", "CRYPTO_ADDRESS", "BicDetector", "CryptoAddressDetector"]
