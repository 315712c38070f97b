"""Canaries: a unique value for each kind of part of a request, and ways to look for them everywhere."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias

from ringfence.assistant.build import RequestOptions
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

Kind: TypeAlias = Literal["email", "credit_card", "iban", "secret", "declared"]
Api: TypeAlias = Literal["responses", "chat", "gemini"]
APIS: tuple[Api, ...] = ("responses", "chat", "gemini")
KINDS: tuple[Kind, ...] = ("email", "credit_card", "iban", "secret", "declared")
LABELS: Mapping[Kind, str] = {
    "email": "contact",
    "credit_card": "financial",
    "iban": "financial",
    "secret": "credentials",
    "declared": "health",
}

PLACES = (
    *("system", "user", "assistant", "tool_description", "parameter_name", "parameter_description", "enum_value"),
    *("call_arguments", "call_id", "result_text", "schema_name", "schema_description", "schema_enum"),
    *("text_file", "text_file_name", "text_file_type", "binary_file", "binary_file_name", "picture", "picture_name"),
    *("stop", "provider_options", "reasoning", "reasoning_state", "fact", "tenant"),
)
"""Where content can stand in a request."""

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def canary(kind: Kind, place: str) -> str:
    """The value of `kind` in `place`; no two are equal, none is part of another."""
    number = PLACES.index(place) + 11
    match kind:
        case "email":
            return f"canary{number}zq@wombat.example.com"
        case "credit_card":
            return _with_luhn(f"4716{number}00420042{number % 10}")
        case "iban":
            return _with_check_digits(f"37040044053201{number}00")
        case "secret":
            return f"ghp_Kq7{number}Zr9Xw2Lm4Tn8Vb6Hs1Jd3Fg5Pc0Yu{number}"
        case "declared":
            return f"canary-{number}-quokka-aches"


def canaries(kinds: Iterable[Kind] = KINDS, places: Iterable[str] = PLACES) -> tuple[str, ...]:
    """All of these kinds in these places."""
    wanted = tuple(places)
    return tuple(canary(kind, place) for kind in kinds for place in wanted)


def _with_luhn(digits: str) -> str:
    for last in "0123456789":
        total = 0
        for place, digit in enumerate(reversed(digits + last)):
            doubled = int(digit) * (1 + place % 2)
            total += doubled - 9 * (doubled > 9)
        if total % 10 == 0:
            return digits + last
    raise AssertionError


def _with_check_digits(bban: str) -> str:
    return f"DE{98 - int(f'{bban}131400') % 97:02}{bban}"


# ------------------------------------------------------------------ looking for them
def forms(value: str) -> tuple[bytes, ...]:
    """`value` as it may stand in bytes: as it is, in a URL, in JSON, in base 64 at any offset."""
    plain = value.encode()
    found = {plain, urllib.parse.quote(value, safe="").encode(), json.dumps(value)[1:-1].encode()}
    for offset in range(3):
        # Characters at the edges depend on the neighbours.
        whole = base64.b64encode(b"\0" * offset + plain)
        found.add(whole[4 if offset else 0 : len(whole) // 4 * 4 - 4])
    return tuple(found)


@cache
def _search(values: tuple[str, ...]) -> tuple[re.Pattern[bytes], dict[bytes, str]]:
    by_form = {form: value for value in values for form in forms(value)}
    # The longest first: none hides behind its own beginning.
    return re.compile(b"|".join(map(re.escape, sorted(by_form, key=len, reverse=True)))), by_form


def found_in(told: bytes | str, values: Iterable[str]) -> set[str]:
    """Those of `values` that stand in `told` in any form."""
    pattern, by_form = _search(tuple(values))
    text = told if isinstance(told, bytes) else told.encode("utf-8", "surrogatepass")
    return {by_form[match[0]] for match in pattern.finditer(text)}


# ------------------------------------------------------------------ requests
def request(
    values: Mapping[str, str], labels: Iterable[str] = (), *, author: tuple[str, str | None] = ("openai", None)
) -> tuple[Sequence[Message], RequestOptions]:
    """A request with `values` by place, innocent words elsewhere, and no more parts than these need.

    `labels` are declared for each part that holds a value; for what is no part, they are declared for the input.
    `author` is the provider and the address that reasoning came from.
    """
    declared = frozenset(labels)

    def text_in(place: str, otherwise: str) -> TextPart:
        given = values.get(place)
        return TextPart(otherwise if given is None else f"{otherwise} {given}.", labels=declared if given else _NONE)

    messages = [Message("system", (text_in("system", "Be brief."),))]
    if "assistant" in values:
        messages += [Message("user", (TextPart("Hello."),)), Message("assistant", (text_in("assistant", "Noted"),))]
    if values.keys() & {"reasoning", "reasoning_state"}:
        text = values.get("reasoning", "Hm.")
        state = _state(author[0], text, values.get("reasoning_state", "c2VhbGVk"))
        thought = ReasoningPart(author[0], text, state=state, origin=author[1], labels=declared)
        messages += [Message("user", (TextPart("Think."),)), Message("assistant", (thought, TextPart("Yes.")))]
    if values.keys() & {"call_arguments", "call_id", "result_text"}:
        messages += _tool_turns(values, declared)
    messages.append(Message("user", (text_in("user", "How tall is Mount Fuji?"), *_attachments(values, declared))))
    return messages, _options(values, declared, author[0])


_NONE: frozenset[str] = frozenset()


def _state(provider: str, text: str, sealed: str) -> str:
    """An opaque state as `provider` makes it."""
    if provider == "gemini":
        mark = {"from": 0, "to": len(text), "with": {"thoughtSignature": sealed}}
        return json.dumps({"thought": True, "length": len(text), "marks": [mark]})
    summary = [{"type": "summary_text", "text": text}]
    return json.dumps({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": sealed})


def _tool_turns(values: Mapping[str, str], labels: frozenset[str]) -> list[Message]:
    id_ = values.get("call_id", "call_1")
    arguments = json.dumps({"who": values.get("call_arguments", "nobody")})
    answer = f"It says {values.get('result_text', 'nothing')}."
    return [
        Message("user", (TextPart("Look."),)),
        Message("assistant", (ToolCallPart(id_, "look", arguments, labels=labels),)),
        Message("tool", (ToolResultPart(id_, "look", answer, labels=labels),)),
    ]


def _attachments(values: Mapping[str, str], labels: frozenset[str]) -> Iterable[Part]:
    if values.keys() & {"text_file", "text_file_name", "text_file_type"}:
        media_type = f"text/plain; note={values['text_file_type']}" if "text_file_type" in values else "text/plain"
        name = f"{values.get('text_file_name', 'notes')}.txt"
        data = f"Notes: {values.get('text_file', 'none')}".encode()
        yield FilePart(data, media_type=media_type, name=name, labels=labels)
    if values.keys() & {"binary_file", "binary_file_name"}:
        data = b"%PDF-1.7\0\0" + values.get("binary_file", "").encode() + b"\0"
        name = f"{values.get('binary_file_name', 'scan')}.pdf"
        yield FilePart(data, media_type="application/pdf", name=name, labels=labels)
    if values.keys() & {"picture", "picture_name"}:
        data = PIXEL + values.get("picture", "").encode()
        yield ImagePart(data, name=f"{values.get('picture_name', 'p')}.png", labels=labels)


_NO_PART = {"schema_name", "schema_description", "schema_enum", "stop", "provider_options"}


def _options(values: Mapping[str, str], labels: frozenset[str], provider: str) -> RequestOptions:
    options: RequestOptions = {}
    if labels and values.keys() & _NO_PART:
        options["labels"] = labels
    if values.keys() & {"tool_description", "parameter_name", "parameter_description", "enum_value"}:
        options["tools"] = [_tool(values, labels)]
    if "stop" in values:
        options["settings"] = Settings(stop=(values["stop"],))
    if "provider_options" in values:
        note = values["provider_options"]
        own = {"labels": {"note": note}} if provider == "gemini" else {"metadata": {"note": note}}
        options["provider_options"] = {provider: own}
    if "fact" in values:
        options["facts"] = {"user.note": values["fact"]}
    if "tenant" in values:
        options["tenant"] = values["tenant"]
    return options


def _tool(values: Mapping[str, str], labels: frozenset[str]) -> Tool:
    about = {
        "type": "string",
        "description": values.get("parameter_description", "who"),
        "enum": [values.get("enum_value", "all")],
    }
    return Tool(
        name="look",
        description=values.get("tool_description", "Looks."),
        parameters={"type": "object", "properties": {values.get("parameter_name", "who"): about}},
        labels=labels,
    )


def output_of(values: Mapping[str, str]) -> dict[str, Any] | None:
    """The JSON Schema of the answer, where one of `values` stands in it."""
    if not values.keys() & {"schema_name", "schema_description", "schema_enum"}:
        return None
    inner = {
        "type": "string",
        "description": values.get("schema_description", "how tall"),
        "enum": [values.get("schema_enum", "tall")],
    }
    name = values.get("schema_name", "height")
    return {"type": "object", "properties": {name: inner}, "required": [name], "additionalProperties": False}


def whole(kinds: Sequence[Kind] = KINDS, places: Iterable[str] = PLACES) -> dict[str, str]:
    """Values for all of `places`, with the kinds in turn."""
    return {place: canary(kinds[number % len(kinds)], place) for number, place in enumerate(places)}


# ------------------------------------------------------------------ policies
HEAD = """\
version: 1
name: canaries
recipients:
  out:  {out}
  near: {{ring: device, provider: scripted, model: m}}
facts:
  user.note: {{type: enum, values: [adult, minor]}}
labels:
  public:       {{}}
  contact:      {{detect: [email, phone]}}
  financial:    {{detect: [credit_card, iban]}}
  credentials:  {{detect: [secret]}}
  health:       {{declare: true}}
  unclassified: {{}}
unknown: unclassified
clean: public
flow:
  - id: device-any
    allow: {{labels: "*", to: [device]}}
"""

ROUTE = """\
route:
  - id: only
    prefer: [{prefer}]
    fallback: {fallback}
"""

ALL = "[public, contact, financial, credentials, health, unclassified]"
OPEN = f"  - {{id: open, allow: {{labels: {ALL}, to: [partner]}}, consent: ask}}\n"
SHUT = "  - {id: open, allow: {labels: [public], to: [partner]}, consent: ask}\n"


_CAPABILITIES = "[text, tools, output_schema, reasoning, image_input, file_input]"


def redacting(how: str) -> str:
    """Everything may go out, redacted where it is anything but public."""
    some = "[contact, financial, credentials, health]"
    return f"{SHUT}  - {{id: redacted, allow: {{labels: {some}, to: [partner]}}, redact: {how}, consent: ask}}\n"


def policy(
    flow: str, url: str, *, api: Api = "responses", prefer: str = "out", fallback: str = "none", more: str = ""
) -> str:
    """A policy over a partner at `url` and a device."""
    named = "provider: gemini, model: gemini-3-flash" if api == "gemini" else "provider: openai, model: gpt-5.2"
    options = "" if api == "gemini" else f", options: {{api: {api}}}, capabilities: {_CAPABILITIES}"
    out = f'{{ring: partner, {named}, secret: "env:CANARY_KEY", url: "{url}"{options}}}'
    return HEAD.format(out=out) + flow + ROUTE.format(prefer=prefer, fallback=fallback) + more
