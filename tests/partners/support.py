"""Policies over both partners at their loopback doubles, and short ways to ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ringfence import AsyncAssistant, ConsentRequest, Retry, Timeouts
from ringfence.policy import read_policy
from ringfence.testing import PartnerServer, ScriptedProvider
from ringfence.testing.partners.backend import PartnerBackend
from ringfence.testing.scenes import Seen

Api: TypeAlias = Literal["responses", "chat", "gemini"]
APIS: tuple[Api, ...] = ("responses", "chat", "gemini")

OPENAI_KEY = "sk-canary-key-of-openai-8812"
GEMINI_KEY = "canary-key-of-gemini-9923"
KEYS = {"PARTNERS_OPENAI_KEY": OPENAI_KEY, "PARTNERS_GEMINI_KEY": GEMINI_KEY}

QUICK = Retry(attempts=2, wait_s=0.0, max_wait_s=1.0)
ONCE = Retry(attempts=1)
LOCAL = "An answer of the device."

_HEAD = """\
version: 1
name: partners
labels:
  public: {}
  work: {declare: true}
  unclassified: {}
unknown: unclassified
tools:
  weather: {ring: device}
flow:
  - id: device-any
    allow: {labels: "*", to: [device]}
  - id: partner-asked
    allow: {labels: [public, unclassified, work], to: [partner]}
    consent: ask
  - id: never-work
    deny: {labels: [work], to: [forbidden]}
"""


def partner(api: Api, url: str) -> str:
    """The declaration of a recipient that speaks `api` at `url`."""
    if api == "gemini":
        named, more = "provider: gemini, model: gemini-3-flash, secret: env:PARTNERS_GEMINI_KEY", ""
    else:
        named = "provider: openai, model: gpt-5.2, secret: env:PARTNERS_OPENAI_KEY"
        # What a server at another address can do, only the policy can say.
        more = f", capabilities: [text, tools, output_schema, reasoning], options: {{api: {api}}}"
    return f'{{ring: partner, {named}, url: "{url}"{more}}}'


def at(api: Api, server: PartnerServer) -> str:
    """The declaration of a recipient at the double."""
    return partner(api, backend(api, server).url)


def backend(api: Api, server: PartnerServer) -> PartnerBackend:
    """The double that speaks `api`."""
    return server.gemini if api == "gemini" else server.openai


DEVICE = "{ring: device, provider: scripted, model: m}"


def policy_text(
    recipients: Mapping[str, str],
    *,
    prefer: Sequence[str] = ("first",),
    fallback: Sequence[str] = (),
    on_broken_stream: str = "fail",
) -> str:
    """A policy over `recipients` by name, each as `at` declares it. Partners ask; `forbidden` gets no `work`."""
    declared = dict(recipients)
    declared.setdefault("forbidden", '{ring: partner, provider: openai, model: never, url: "http://127.0.0.1:9/v1"}')
    lines = "".join(f"  {name}: {text}\n" for name, text in declared.items())
    return (
        f"{_HEAD}recipients:\n{lines}route:\n  - id: only\n    prefer: [{', '.join(prefer)}]\n"
        f"    fallback: {'[' + ', '.join(fallback) + ']' if fallback else 'none'}\n"
        f"    on_broken_stream: {on_broken_stream}\n"
    )


@dataclass
class Person:
    """Somebody who is asked for consent, and what they were asked."""

    says: Callable[[ConsentRequest], bool] = lambda _: True
    asked: list[str] = field(default_factory=list[str])

    def __call__(self, question: ConsentRequest) -> bool:
        self.asked.append(question.recipient)
        return self.says(question)


def assistant(
    policy: str,
    audit: Path | bool,
    *,
    person: Person | None = None,
    device: ScriptedProvider | None = None,
    retry: Retry = QUICK,
    timeouts: Timeouts | None = None,
) -> AsyncAssistant:
    """An assistant with the real providers, and a scripted one for the device."""
    return AsyncAssistant(
        read_policy(policy),
        providers={"scripted": device or ScriptedProvider(LOCAL)},
        audit=audit,
        consent=person or Person(),
        retry=retry,
        timeouts=timeouts,
    )


def body(seen: Seen) -> Any:
    """The JSON of a request."""
    return json.loads(seen.body)


__all__ = [
    "APIS",
    "DEVICE",
    "GEMINI_KEY",
    "KEYS",
    "LOCAL",
    "ONCE",
    "OPENAI_KEY",
    "QUICK",
    "Api",
    "Person",
    "assistant",
    "at",
    "backend",
    "body",
    "partner",
    "policy_text",
]
