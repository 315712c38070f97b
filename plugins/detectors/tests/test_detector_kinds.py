"""What each kind finds and does not take for one, and where it says the finding is."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Detector, Hit
from ringfence_detectors import credit_card, email, iban, phone

DETECTORS: dict[str, Detector] = {
    "email": email.DETECTOR,
    "phone": phone.DETECTOR,
    "credit_card": credit_card.DETECTOR,
    "iban": iban.DETECTOR,
}

# (kind, text before, what must be found, text after)
FOUND = [
    ("email", "mail ", "jane.doe+x@example.co.uk", " now"),
    ("email", "<", "a@b.io", ">, please"),
    ("email", "mailto:", "a_b@sub.example.com", "?subject=x"),
    ("email", "邮箱是", "zhang@example.com", "谢谢"),
    ("email", "邮箱是", "zhang@example.com", "。谢谢"),
    ("email", "An ", "jürgen@müller.de", ""),
    ("email", "Пишите: ", "иван@пример.рф", "."),
    ("email", "", '"john doe"@example.com', " wrote"),
    ("email", "", "root@[192.168.0.1]", ""),
    ("email", "", "a＠example．com", ""),
    ("email", "", "a\u200b@exam\u00adple.com", ""),
    ("email", "", "x@xn--bcher-kva.example", ""),
    ("email", "a@b.com", "", ""),
    ("phone", "call ", "+1 415-555-2671", " 2 times"),
    ("phone", "", "(555) 123-4567", ""),
    ("phone", "at ", "555-123-4567", "."),
    ("phone", "", "415.555.2671", " or e-mail"),
    ("phone", "on ", "1-800-555-0199", ", toll free"),
    ("phone", "", "020 7946 0958", ""),
    ("phone", "", "+44 7700 900123", ""),
    ("phone", "", "+44 (0)20 7946 0958", ""),
    ("phone", "", "0049 30 901820", ""),
    ("phone", "Praxis, ", "030 901820", ", Berlin"),
    ("phone", "", "06 12 34 56 78", ""),
    ("phone", "", "0151/23456789", ""),
    ("phone", "我的手机", "13800138000", "。"),
    ("phone", "", "138 0013 8000", ""),
    ("phone", "", "+86 138-0013-8000", ""),
    ("phone", "", "4155552671", ""),
    ("phone", "tel: ", "6123 4567", ""),
    ("phone", "Ring me: ", "555 0123 4", ""),
    ("phone", "", "+1\u00a0(415) 555‑2671", ""),
    ("phone", "", "+４１ ４４ ６６８ １８ ００", ""),
    ("phone", "", "+41\u200b44\u200b6681800", ""),
    ("credit_card", "Is ", "4111 1111 1111 1111", " a valid card?"),
    ("credit_card", "", "4111-1111-1111-1111", ""),
    ("credit_card", "", "4111111111111111", ""),
    ("credit_card", "mistyped ", "4111 1111 1111 1112", ", sorry"),
    ("credit_card", "my card is ", "4111111111111112", ""),
    ("credit_card", "卡号", "4111１１１１11111111", ""),
    ("credit_card", "", "3782 822463 10005", ""),
    ("credit_card", "", "5500 0000 0000 0004", ""),
    ("credit_card", "", "6011.0000.0000.0004", ""),
    ("credit_card", "", "6200 0000 0000 0005", ""),
    ("credit_card", "", "4111\u00a01111\u200b 1111–1111", ""),
    ("credit_card", "", "41\u00ad11 1111 1111 1111", ""),
    ("credit_card", "", "4111 1111\n1111 1111", ""),
    ("credit_card", "", "𝟒𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏 𝟏𝟏𝟏𝟏", ""),
    ("credit_card", "12 ", "4111 1111 1111 1111", " 12/27 123"),
    ("iban", "", "GB82 WEST 1234 5698 7654 32", ""),
    ("iban", "to ", "de89370400440532013000", "."),
    ("iban", "", "DE89 3704 0044 0532 0130 01", " (mistyped)"),
    ("iban", "", "FR14 2004 1010 0505 0001 3M02 606", ""),
    ("iban", "IBAN:", "NL91ABNA0417164300", "."),
    ("iban", "", "ch93 0076 2011 6238 5295 7", ""),
    ("iban", "", "NO93-8601-1117-947", ""),
    ("iban", "", "ＧＢ82 WEST 1234\u00a05698 7654 32", ""),
    ("iban", "账号", "GB82 WEST 1234 5698 7654 32", "。"),
]

NOT_FOUND = [
    "on 2024-11-22 at 12:30",
    "22.11.2024 10:30",
    "01.02.2024 12:30",
    "01/02/2024 - 03/02/2024",
    "2024/11/22 2025/01/02",
    "2019-2024",
    "10:30-11:45 12/12/2024",
    "20241122103000",
    "Price $1,234,567.89",
    "€ 1 234 567,89",
    "1.234.567,89 EUR",
    "CHF 12'345'678.90",
    "v10.15.7.1234",
    "version 3.11.4-rc1+20240101",
    "order 4155552671",
    "Order no. 12345678",
    "order 1234567890123456",
    "invoice 2024-000123456",
    "tracking 1Z999AA10123456784",
    "订单号 13800138000",
    "192.168.100.200",
    "978-3-16-148410-0",
    "1732233600 unix",
    "0.4111111111111111",
    "pi 3.14159265358979",
    "page 12 of 200, 1000 2000 3000 4000",
    "4 5 6 7 8 9 10 11 12 13 14 15 16 17",
    "lat 37.774929, -122.419416",
    "uuid 550e8400-e29b-41d4-a716-446655440000",
    "sha 4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
    "0000 0000 0000 0000",
    "pkg@1.2.3",
    "npm i @scope/pkg@2",
    "user@localhost",
    "@mention and #tag",
    "a @ b",
    "az21 some words and the rest of the words here",
    "GB82 WEST",
    "DE44 is a road, and so is DE45",
    "委员会于2024年11月22日上午10:30开会，花费1200欧元",
    "",
]


def _found(kind: str, text: str) -> list[str]:
    return [text[hit.start : hit.end] for hit in DETECTORS[kind].detect(text)]


@pytest.mark.parametrize(("kind", "before", "written", "after"), [case for case in FOUND if case[2]])
def test_an_identifier_is_found_where_it_stands(kind: str, before: str, written: str, after: str) -> None:
    assert list(DETECTORS[kind].detect(before + written + after)) == [Hit(len(before), len(before) + len(written))]


@pytest.mark.parametrize(("kind", "before", "written", "after"), FOUND)
def test_an_identifier_of_one_kind_is_not_taken_for_another(kind: str, before: str, written: str, after: str) -> None:
    others = [other for other in DETECTORS if other != kind and _found(other, before + written + after)]
    assert others == []


@pytest.mark.parametrize("text", NOT_FOUND)
def test_everyday_text_holds_none(text: str) -> None:
    assert {kind: _found(kind, text) for kind in DETECTORS if _found(kind, text)} == {}


def test_several_on_a_line_are_several_hits() -> None:
    text = "555-123-4567 555-123-4568, a@b.com b@c.com; 4111 1111 1111 1111 5500 0000 0000 0004"
    assert _found("phone", text) == ["555-123-4567", "555-123-4568"]
    assert _found("email", text) == ["a@b.com", "b@c.com"]
    assert _found("credit_card", text) == ["4111 1111 1111 1111", "5500 0000 0000 0004"]
    assert _found("iban", "GB82 WEST 1234 5698 7654 32 DE89370400440532013000") == [
        "GB82 WEST 1234 5698 7654 32",
        "DE89370400440532013000",
    ]


def test_the_kinds_are_declared_as_entry_points() -> None:
    assert {point.name for point in entry_points(group="ringfence.detectors")} >= set(DETECTORS)
    scan = DetectorSet().scan(DETECTORS, "a@b.com +41446681800 4111111111111111 DE89370400440532013000")
    assert set(scan.hits) == set(DETECTORS)
    assert not scan.failed


ALPHABET = st.sampled_from(
    [*"0123456789 -./()+@\n\tabzDEGB", "１", "\u00a0", "\u200b", "–", "㎝", "é", "你", "\ud800", "😀"]
)


@given(st.text(ALPHABET, max_size=120) | st.text(max_size=120))
def test_every_hit_lies_in_the_text_in_order_and_apart(text: str) -> None:
    for kind, detector in DETECTORS.items():
        hits = list(detector.detect(text))
        ends = [0, *(hit.end for hit in hits)]
        assert all(end <= hit.start < hit.end <= len(text) for end, hit in zip(ends, hits, strict=False)), kind


@given(
    before=st.text(st.characters(categories=["Lo", "Zs", "Po", "Cf"]), max_size=20),
    after=st.text(st.characters(categories=["Zs", "Cf"]), max_size=20),
)
def test_what_stands_around_in_any_script_does_not_hide_or_move_a_finding(before: str, after: str) -> None:
    card = "4111 1111 1111 1111"
    hits = list(credit_card.DETECTOR.detect(before + card + after))
    assert Hit(len(before), len(before) + len(card)) in hits


@given(st.lists(st.sampled_from(["\u200b", "\u00ad", "\u2060", "\ufeff", "\u200e", "\x00"]), max_size=3), st.data())
def test_invisible_characters_hide_nothing(invisible: list[str], data: st.DataObject) -> None:
    for kind, written in (
        ("credit_card", "4111111111111111"),
        ("iban", "DE89370400440532013000"),
        ("phone", "+41446681800"),
        ("email", "ann@example.com"),
    ):
        text = written
        for character in invisible:
            place = data.draw(st.integers(1, len(text) - 1))
            text = text[:place] + character + text[place:]
        assert _found(kind, text) == [text]
