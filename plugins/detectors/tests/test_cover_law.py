"""Redaction cuts exactly where a hit says, and one character left over is a leak: hits cover the whole identifier."""

from __future__ import annotations

import datetime as dt
import random
from importlib.metadata import entry_points

from hypothesis import assume, given
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum import luhn, verhoeff
from stdnum.iso7064 import mod_11_2, mod_97_10

from ringfence.privacy.detection import ENTRY_POINT_GROUP, DetectorSet
from ringfence_detectors.identifier import Identifier

OURS = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.module.startswith("ringfence_detectors.")]
KINDS = sorted(point.name for point in OURS)
DETECTORS = DetectorSet()
IDENTIFIERS = {point.name: detector for point in OURS if isinstance(detector := point.load(), Identifier)}
CAPITALS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
INVISIBLE = ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u200e"]
ZEROS = ["0", "\uff10", "\u0660", "\u0966", "\U0001d7ce"]
DASHES = ["-", "\u2010", "\u2011", "\u2013", "\u2212", "\uff0d"]
SPACES = [" ", "\u00a0", "\u2009", "\u3000"]

# Text that no identifier goes on into: prose in several scripts, punctuation, line breaks.
AROUND = st.lists(
    st.sampled_from(
        [" and ", "，我的号码是", "。", "(", ")", "\n", "é à ", "привет ", '"', ", ", "你好", " 😀 ", "; "]
    ),
    max_size=4,
).map("".join)


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.integers(0, 10**count - 1).map(lambda number: str(number).zfill(count))


def _grouped(number: str, lengths: tuple[int, ...], separator: str) -> str:
    parts: list[str] = []
    for length in lengths:
        parts.append(number[:length])
        number = number[length:]
    return separator.join(parts)


@st.composite
def identifiers(draw: st.DrawFn) -> tuple[str, str, str]:
    """A kind, what stands before it, and the identifier as somebody wrote it."""
    maker = draw(st.sampled_from(sorted(MAKERS)))
    before, written = draw(MAKERS[maker])
    return maker, before, written


def _card() -> st.SearchStrategy[tuple[str, str]]:
    body = _digits(11).map(lambda digits: "4111" + digits)
    number = body.map(lambda digits: digits + luhn.calc_check_digit(digits))
    lengths = st.sampled_from([(16,), (4, 4, 4, 4)])
    return st.tuples(number, lengths, st.sampled_from([" ", "-"])).map(lambda parts: ("", _grouped(*parts)))


def _resident() -> st.SearchStrategy[tuple[str, str]]:
    date = st.dates(min_value=dt.date(1930, 1, 1)).map(lambda day: day.strftime("%Y%m%d"))
    body = st.tuples(date.filter(lambda text: text < "2030"), _digits(3)).map(
        lambda parts: f"110105{parts[0]}{parts[1]}"
    )
    return body.map(lambda digits: ("", digits + mod_11_2.calc_check_digit(digits)))


def _iban() -> st.SearchStrategy[tuple[str, str]]:
    def whole(account: str) -> str:
        checked = mod_97_10.calc_check_digits(account + "DE")
        number = f"DE{checked}{account}"
        assert stdnum_iban.is_valid(number)
        return number

    number = _digits(18).map(whole)
    return number.map(lambda text: ("", text)) | number.map(lambda text: ("", _grouped(text, (4, 4, 4, 4, 4, 2), " ")))


_TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=36, max_size=60).filter(
    lambda text: any(character.isdigit() for character in text) and any(character.isupper() for character in text)
)
MAKERS: dict[str, st.SearchStrategy[tuple[str, str]]] = {
    "credit_card": _card(),
    "cn_resident_id": _resident(),
    "iban": _iban(),
    "us_ssn": _digits(8).map(lambda text: ("", _grouped("1" + text, (3, 2, 4), "-"))),
    "phone": _digits(8).map(lambda text: ("", f"138{text}")) | _digits(7).map(lambda text: ("", f"+41 44 {text}")),
    "email": st.from_regex(r"[a-z]{1,12}(\.[a-z0-9]{1,8})?@[a-z]{2,12}\.(com|org|de|cn)", fullmatch=True).map(
        lambda text: ("<", text)
    ),
    "in_aadhaar": _digits(10).map(
        lambda text: ("Aadhaar: ", _grouped(f"2{text}{verhoeff.calc_check_digit('2' + text)}", (4, 4, 4), " "))
    ),
    "uk_nino": _digits(6).map(lambda text: ("NI number ", f"AB{text}C")),
    "passport": _digits(8).map(lambda text: ("护照号", f"E{text}")),
    "ip_address": st.ip_addresses(v=4, network="23.0.0.0/8").map(lambda address: ("at ", str(address))),
    "secret": _TOKEN.map(lambda text: (" ", f"ghp_{text}")) | _TOKEN.map(lambda text: (" ", f"sk-proj-{text}")),
    "mac_address": _digits(12).map(lambda text: ("", _grouped(text, (2,) * 6, ":"))),
}


def _disguised(written: str, disguise: random.Random) -> str:
    """The same with digits of another script, other dashes and spaces, and characters that nobody sees."""
    zero = ord(disguise.choice(ZEROS))
    signs = {"-": disguise.choice(DASHES), " ": disguise.choice(SPACES)}
    shown = [chr(zero + int(sign)) if sign.isdigit() else signs.get(sign, sign) for sign in written]
    return (
        "".join(sign + (disguise.choice(INVISIBLE) if disguise.random() < 0.1 else "") for sign in shown[:-1])
        + shown[-1]
    )


@given(before=AROUND, one=identifiers(), after=AROUND, seed=st.integers(0, 2**32))
def test_hits_cover_the_whole_identifier_wherever_it_stands(
    before: str, one: tuple[str, str, str], after: str, seed: int
) -> None:
    kind, word, written = one
    assume(len(set(written)) > 3)
    shown = _disguised(written, random.Random(seed)) if kind not in ("secret", "email", "ip_address") else written
    text = before + word + shown + after
    start = len(before) + len(word)
    covered = {place for hit in DETECTORS.scan([kind], text).hits.get(kind, ()) for place in range(hit.start, hit.end)}
    assert covered.issuperset(range(start, start + len(shown))), (kind, text)


@given(
    st.text(
        st.sampled_from(
            [*"0123456789 -./()+@:<\n\tabzDEGBxq_=", "１", "\u00a0", "\u200b", "–", "㎝", "é", "你", "张", "\ud800"]
        ),
        max_size=120,
    )
)
def test_every_hit_of_every_kind_lies_in_the_text_in_order_and_apart(text: str) -> None:
    scan = DETECTORS.scan(KINDS, text)
    assert not scan.failed
    for kind, hits in scan.hits.items():
        ends = [0, *(hit.end for hit in hits)]
        assert all(end <= hit.start for end, hit in zip(ends, hits, strict=False)), kind


@given(st.data())
def test_no_check_raises_on_what_has_the_structure_of_its_kind(data: st.DataObject) -> None:
    """A check that raised would make its kind fail, and the text unknown."""
    kind = data.draw(st.sampled_from(sorted(IDENTIFIERS)))
    identifier = IDENTIFIERS[kind]
    if identifier.structure is not None:
        number = data.draw(st.from_regex(identifier.structure, fullmatch=True, alphabet=CAPITALS_AND_DIGITS))
    else:
        writing = data.draw(st.sampled_from(identifier.writings)).replace(" ", "")
        number = "".join(
            data.draw(st.sampled_from("0123456789" if part == "d" else "0123456789ABXZ")) for part in writing
        )
    assert identifier.is_valid(number) in (True, False)
