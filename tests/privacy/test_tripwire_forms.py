"""What the tripwire looks through, so that no provider sends a redacted value by mistake, and what it does not."""

from __future__ import annotations

import base64
import codecs
import gzip
import html
import json
import quopri
import random
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tripwire import trips

VALUE = 'Zoé "B" <zoe+b@example.com> & co'
AROUND = f"From: {VALUE}; 100%25 & more\n"


def _urlsafe(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _wrapped(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


def _javascript(text: str) -> str:
    return "".join(f"\\u{{{ord(one):x}}}" if ord(one) > 99 else f"\\x{ord(one):02x}" for one in text)


def _numeric(text: str) -> str:
    return "".join(f"&#{ord(one)};" if number % 2 else f"&#x{ord(one):X};" for number, one in enumerate(text))


_READ: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "json": json.dumps,
    "json with slashes escaped": lambda text: json.dumps(text).replace("/", "\\/"),
    "unicode escapes": lambda text: "".join(f"\\u{ord(one):04X}" for one in text),
    "javascript": _javascript,
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "url": quote,
    "form": quote_plus,
    "html": html.escape,
    "numeric entities": _numeric,
    "base64": _base64,
    "base64url": _urlsafe,
    "base64 in lines": _wrapped,
    "data url": lambda text: f"data:text/plain;base64,{_base64(text)}",
    "base64 of json": lambda text: _base64(json.dumps({"text": text})),
}
_UNREAD: dict[str, Callable[[str], str]] = {
    "hexadecimal": lambda text: text.encode().hex(),
    "octal": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    "quoted-printable": lambda text: quopri.encodestring(text.encode(), quotetabs=True).decode(),
    "compressed": lambda text: gzip.compress(text.encode()).decode("latin-1"),
    "base64 twice": lambda text: _base64(_base64(text)),
    "UTF-16": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "full width": lambda text: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text),
    "spaced": " ".join,
    "other case": str.upper,
}


# Base64 of base64, and what is escaped otherwise than JSON inside base64, is no slip.
_NESTED = [
    (inner, outer)
    for inner in _READ
    for outer in _READ
    if inner == "as it is" or not ("base64" in outer or outer == "data url")
]


@pytest.mark.parametrize(("inner", "outer"), _NESTED)
def test_no_form_of_another_hides_a_value(inner: str, outer: str) -> None:
    written = _READ[outer](_READ[inner](AROUND))
    assert trips({VALUE}, f'{{"model": "m", "data": {written}, "end": 1}}'.encode())


@pytest.mark.parametrize("write", _UNREAD.values(), ids=_UNREAD)
def test_what_the_tripwire_does_not_look_through_is_as_the_documents_say(write: Callable[[str], str]) -> None:
    """Who adds one of these takes it out of the list in the tripwire's docstring and in decision 0135."""
    assert not trips({VALUE}, write(AROUND).encode())


@pytest.mark.parametrize("value", ["anna@example.com", "+49 170 1234567", "Zoé Müller", "王伟先生你好", "x/y\\z"])
@pytest.mark.parametrize("write", _READ.values(), ids=_READ)
def test_values_of_many_kinds_are_found_at_every_alignment(value: str, write: Callable[[str], str]) -> None:
    for before in range(4):
        sent = "x" * before + write("y" * before + value + "z")
        assert trips({value}, sent.encode())
        assert not trips({value[:-1] + "~"}, sent.encode())


@given(value=st.text(min_size=5), before=st.text(), after=st.text(), cut=st.integers(0, 3), urlsafe=st.booleans())
def test_base64_hides_no_value_nor_does_a_part_of_it(
    value: str, before: str, after: str, cut: int, urlsafe: bool
) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    lead = encode(b"\0" * 6)[cut:]
    sent = lead + encode((before + value + after).encode()).rstrip(b"=")
    assert trips({value}, b'{"data": "' + sent + b'"}')


@given(value=st.text(min_size=5), before=st.text(), after=st.text(), as_json=st.booleans())
def test_html_and_json_of_html_hide_no_value(value: str, before: str, after: str, as_json: bool) -> None:
    sent = html.escape(f"{before} {value} {after}")
    assert trips({value}, (json.dumps(sent) if as_json else sent).encode())


@given(values=st.sets(st.text(min_size=5), min_size=101, max_size=120), data=st.data())
def test_many_values_are_found_as_few_are(values: set[str], data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(sorted(values)))
    write = data.draw(st.sampled_from(["json", "base64", "url"]))
    assert trips(values, _READ[write](f" {value} ").encode())


@pytest.mark.parametrize("sent", [b"12+Elm+Street", b"12+Elm%20Street", b"12 Elm+Street", b"12%20Elm+Street"])
def test_a_space_may_be_written_in_more_than_one_way_in_one_value(sent: bytes) -> None:
    assert trips(["12 Elm Street"], b"to=" + sent + b"&more=1")


def test_a_value_split_over_the_pieces_of_what_is_sent_is_in_none_of_them() -> None:
    assert not trips({"anna@example.com"}, b"anna@", b"example.com")
    assert trips({"anna@example.com"}, b"{}", b"/path", b"anna%40example.com")


def _large() -> dict[str, bytes]:
    rng = random.Random(1)
    words = ["the", "of", "100%", "policy", "&", "others", '"so"', "on\n", "café", "a?b=c&d=%20e", "&amp;", "12345"]
    prose = " ".join(rng.choice(words) for _ in range(200_000))
    return {
        "prose": json.dumps({"text": prose}).encode(),
        "picture": json.dumps({"data": base64.b64encode(rng.randbytes(750_000)).decode()}).encode(),
        "signs": b"\\%&+" * 250_000,
        "backslashes": b"\\" * 1_000_000,
    }


@pytest.mark.parametrize("body", _large().values(), ids=_large())
def test_a_megabyte_is_looked_through_quickly_and_trips_over_nothing(body: bytes) -> None:
    values = [f"person {number} of é@example.com" for number in range(20)]
    began = time.process_time()
    assert not trips(values, body)
    # It takes 0.02 to 0.2 s; what grows with the square of the body would take minutes.
    assert time.process_time() - began < 5
