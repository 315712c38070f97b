"""What is sent and hides what it says: fields that no model reads, and text that is written in another form."""

from __future__ import annotations

import base64

import pytest

from ringfence import AsyncAssistant, Retry
from ringfence.errors import GateError
from ringfence.policy import Policy, read_policy
from ringfence.privacy.forms import unescaped_forms, unescaped_places
from ringfence.privacy.labels import Labeller
from ringfence.request import FilePart, ImagePart, Message, Part, Request, Role, Settings, TextPart, ToolCallPart
from ringfence.request import ToolResultPart as Result
from ringfence.testing import ScriptedProvider

CARD = "4111111111111111"
MAIL = "anna@example.com"
POLICY = """
version: 1
name: enemy
recipients:
  far: {ring: partner, provider: far, model: m}
  near: {ring: device, provider: near, model: m}
labels:
  public: {}
  contact: {detect: [email]}
  money: {detect: [credit_card]}
  unclassified: {}
unknown: unclassified
clean: public
flow:
  - {id: device, allow: {labels: "*", to: [device]}}
  - {id: public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: contact, allow: {labels: [contact], to: [partner]}, redact: mask, consent: ask}
route:
  - {id: only, prefer: [far], fallback: [near]}
"""


@pytest.fixture(scope="module", name="policy")
def _policy() -> Policy:
    return read_policy(POLICY)


def _labels(policy: Policy, part: Part) -> set[str]:
    """What `part` carries, and what a request with it does beside."""
    carried = Labeller(policy).carried(part)
    role: Role = "assistant" if isinstance(part, ToolCallPart) else "tool" if isinstance(part, Result) else "user"
    request = Request(messages=(Message("user", (TextPart("hi"),)), Message(role, (part,))))
    assert Labeller(policy).label(request) == carried | {"public"}
    return set(carried)


@pytest.mark.parametrize(
    "part",
    [
        ToolCallPart(CARD, "look", "{}"),
        Result(CARD, "look", "fine"),
        FilePart(b"hello", media_type=f"text/plain; x={CARD}"),
        ImagePart(b"x", media_type=f"image/{CARD}"),
        FilePart(b"\0", media_type=f"application/{CARD}"),
    ],
    ids=["call", "result", "file", "picture", "binary"],
)
def test_what_no_model_reads_is_scanned_where_it_is_sent(policy: Policy, part: Part) -> None:
    assert "money" in _labels(policy, part)


@pytest.mark.parametrize("name", ["voice", "language", "audio_format"])
def test_a_setting_that_is_a_word_is_scanned(policy: Policy, name: str) -> None:
    request = Request(messages=(Message("user", (TextPart("hi"),)),), settings=Settings(**{name: CARD}))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert Labeller(policy).label(request) == {"public", "money"}


def test_common_media_types_and_identifiers_make_no_hit(policy: Policy) -> None:
    part = FilePart(b"hello", media_type="text/plain")
    assert _labels(policy, part) == _labels(policy, ToolCallPart("call_8Fk2", "look", "{}")) == {"public"}


ENCODED = {
    "entity": "anna&#64;example.com",
    "entity in hex": "anna&#x40;example.com",
    "entity with zeros, unended": "anna&#0064example.com",
    "entity by name": "anna&commat;example&period;com",
    "all in entities": "".join(f"&#{ord(character)};" for character in MAIL),
    "entity in an entity": "anna&amp;#64;example.com",
    "percent": "anna%40example.com",
    "percent twice": "anna%2540example.com",
    "script": "anna\\x40example.com",
    "script with braces": "anna\\u{40}example.com",
    "long escape": "anna\\U00000040example.com",
    "full-width in percent": "anna%EF%BC%A0example.com",
    "entity in JSON": '{"to": "anna\\u0026#64;example.com"}',
}


@pytest.mark.parametrize("said", ENCODED.values(), ids=ENCODED)
def test_a_value_is_found_in_every_form_and_where_it_stands(policy: Policy, said: str) -> None:
    text = f"100% sure & so: {said} \\ done"
    assert _labels(policy, TextPart(text)) == {"contact"}
    forms, complete = unescaped_places(text)
    assert complete
    assert [form for form, _ in forms] == unescaped_forms(text)[0]
    shown = [text[places(form.find("anna")) :] for form, places in forms if MAIL in form]
    assert all(rest.startswith(("anna", "&#97;")) for rest in shown)


@pytest.mark.parametrize("said", ENCODED.values(), ids=ENCODED)
async def test_a_value_in_another_form_is_redacted_where_it_stands_or_nothing_goes(policy: Policy, said: str) -> None:
    for part in (TextPart(f"ask {said} now"), FilePart(f"ask {said} now".encode(), media_type="text/html")):
        far = ScriptedProvider("fine")
        async with AsyncAssistant(
            policy,
            providers={"far": far, "near": ScriptedProvider("x")},
            audit=False,
            consent=lambda _: True,
            retry=Retry(attempts=1),
        ) as it:
            await it.respond([part, TextPart("So?")], to="far", instructions="")
        (sent,) = (message.parts[0] for message in far.requests[-1].messages)
        text = sent.text if isinstance(sent, TextPart) else sent.data.decode() if isinstance(sent, FilePart) else ""
        assert "****" in text
        assert not any("anna@" in form or "a@example" in form for form in unescaped_forms(text)[0])
        assert text.startswith("ask ")
        assert text.endswith(" now")


async def test_what_cannot_be_rewritten_is_refused(policy: Policy) -> None:
    far = ScriptedProvider("fine")
    odd = FilePart(b"hello", media_type="text/plain; x=anna%40example.com")
    call = ToolCallPart("anna%40example.com", "look", "{}")
    asked = (
        ("a value is left after redaction", [Message("user", (TextPart("hi"), odd))]),
        (
            "the identifier of a tool's call reads as a text",
            [
                Message("user", (TextPart("hi"),)),
                Message("assistant", (call,)),
                Message("tool", (Result(call.id, "l", ""),)),
            ],
        ),
    )
    async with AsyncAssistant(
        policy, providers={"far": far, "near": ScriptedProvider("x")}, audit=False, consent=lambda _: True
    ) as it:
        for why, messages in asked:
            with pytest.raises(GateError, match=why):
                await it.respond(messages, to="far", instructions="")
    assert not far.requests


HIDING = {
    "rtf": ("text/rtf", rb"{\rtf1 \'34\'31}"),
    "rtf under another name": ("text/plain", rb"{\rtf1 \'34\'31}"),
    "a picture in HTML": ("text/html", b'<img src="data:image/png;base64,' + base64.b64encode(b"passport") + b'">'),
    "vCard 2.1": ("text/vcard", b"BEGIN:VCARD\r\nNOTE;ENCODING=QUOTED-PRINTABLE:=34=31\r\n"),
    "vCard picture": ("text/vcard", b"BEGIN:VCARD\r\nPHOTO;TYPE=JPEG;ENCODING=b:AAAA\r\n"),
    "mail": ("text/plain", b"From: a\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"),
    "quoted-printable lines": ("text/plain", b"a long line =34=\r\n111 goes on"),
}


@pytest.mark.parametrize(("media_type", "data"), HIDING.values(), ids=HIDING)
def test_a_text_file_whose_format_hides_text_is_not_known_to_be_clean(
    policy: Policy, media_type: str, data: bytes
) -> None:
    assert _labels(policy, FilePart(data, media_type=media_type)) == {"unclassified"}


@pytest.mark.parametrize(
    "said",
    ["a = b ==\nc", "100 %\n50% off & more; a\\b", "base64, data: none", "x;y:z\r\nNOTE: B", "&nosuch; &#9999999;"],
)
def test_plain_text_stays_clean(policy: Policy, said: str) -> None:
    assert _labels(policy, FilePart(said.encode(), media_type="text/plain")) == {"public"}


def test_what_is_escaped_too_deep_is_unknown(policy: Policy) -> None:
    assert "unclassified" in _labels(policy, TextPart(f"anna%{'25' * 9}40example.com"))
