"""The options of a recipient, read once: where it is, which API it speaks, and what its server understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast
from urllib.parse import urlsplit

from ringfence.recipient import Recipient

Api: TypeAlias = Literal["responses", "chat"]
OutputMode: TypeAlias = Literal["json_schema", "json_object", "none"]
LimitField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

VENDOR_HOST = "api.openai.com"

REGIONS = ("us", "eu", "ae", "au", "in", "jp")
"""Those with a host of their own (openai/_data_residency.py)."""

_CHOICES: Mapping[str, tuple[object, ...]] = {
    "api": ("responses", "chat"),
    "output": ("json_schema", "json_object", "none"),
    "max_tokens_field": ("max_tokens", "max_completion_tokens"),
    "store": (True, False),
    "stream_usage": (True, False),
    "extended_sampling": (True, False),
}
_NAMES = ("organization", "project")
_KINDS = "server_tools"
_OPERATORS = ("workspace",)
"""What says something of the recipient to the operator's own layers, and nothing to the vendor."""
_MOST_CHARACTERS = 256


class OptionFault(Exception):
    """An option makes no sense. `detail` and `way_out` hold option names only."""

    def __init__(self, detail: str, way_out: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.way_out = way_out


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientOptions:
    """What holds for one recipient. `vendor`: it is OpenAI itself, and not a server that speaks the same API.

    `store`: whether the vendor may keep the answer. `stream_usage`: whether the server is asked for usage in a stream.
    `extended_sampling`: whether it takes `top_k`, `min_p` and `repetition_penalty`. `server_tools`: the kinds of tools
    that run at the server and reach further, as far as an app may use them.
    """

    base_url: str
    vendor: bool
    api: Api
    output: OutputMode
    max_tokens_field: LimitField
    store: bool
    stream_usage: bool
    extended_sampling: bool
    organization: str | None
    project: str | None
    server_tools: frozenset[str]


def is_vendor(recipient: Recipient) -> bool:
    """Whether the recipient is OpenAI itself."""
    if recipient.url is None:
        return True
    host = (urlsplit(recipient.url).hostname or "").lower()
    return host == VENDOR_HOST or host.endswith(f".{VENDOR_HOST}")


def read_options(recipient: Recipient) -> RecipientOptions:
    """The options of `recipient`, with the defaults that fit where it is.

    Raises:
        OptionFault: one is unknown or ill-typed.
    """
    given = recipient.options
    known = (*_CHOICES, *_NAMES, _KINDS, *_OPERATORS)
    for name in given:
        if name not in known:
            raise OptionFault(_unknown(name, known), f"options of openai: {', '.join(known)}")
    vendor = is_vendor(recipient)
    return RecipientOptions(
        base_url=_base_url(recipient),
        vendor=vendor,
        api=cast("Api", _choice(given, "api", "responses" if vendor else "chat")),
        output=cast("OutputMode", _choice(given, "output", "json_schema")),
        max_tokens_field=cast(
            "LimitField", _choice(given, "max_tokens_field", "max_completion_tokens" if vendor else "max_tokens")
        ),
        store=bool(_choice(given, "store", default=False)),
        stream_usage=bool(_choice(given, "stream_usage", default=True)),
        extended_sampling=bool(_choice(given, "extended_sampling", default=False)),
        organization=_name(given, "organization"),
        project=_name(given, "project"),
        server_tools=_kinds(given),
    )


def _base_url(recipient: Recipient) -> str:
    if recipient.url is not None:
        return recipient.url
    region = (recipient.region or "").lower()
    return f"https://{region}.{VENDOR_HOST}/v1" if region in REGIONS else f"https://{VENDOR_HOST}/v1"


def _choice(given: Mapping[str, object], name: str, default: object) -> object:
    value = given.get(name, default)
    choices = _CHOICES[name]
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        words = ", ".join(str(choice).lower() for choice in choices)
        raise OptionFault(f"the option '{name}' of openai is one of: {words}", f"{name}: {str(choices[0]).lower()}")
    return value


def _name(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_CHARACTERS:
        raise OptionFault(f"the option '{name}' of openai is the id that its dashboard shows", f"{name}: …")
    if not value.isascii() or not value.isprintable():
        raise OptionFault(f"the option '{name}' of openai holds something that cannot be an id", f"{name}: …")
    return value


def _kinds(given: Mapping[str, object]) -> frozenset[str]:
    value = given.get(_KINDS, ())
    if not isinstance(value, list | tuple) or not all(isinstance(kind, str) and kind for kind in value):  # pyright: ignore[reportUnknownVariableType]
        raise OptionFault(f"the option '{_KINDS}' of openai is a list of kinds of tools", f"{_KINDS}: [web_search]")
    return frozenset(cast("list[str]", value))


def _unknown(name: str, known: tuple[str, ...]) -> str:
    import difflib  # noqa: PLC0415  (only a mistake needs it)

    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown option '{name}' of openai" + (f"; did you mean '{near[0]}'?" if near else "")


__all__ = ["VENDOR_HOST", "Api", "OptionFault", "OutputMode", "RecipientOptions", "is_vendor", "read_options"]
