"""Invariant 7: no user content and no secret in exceptions, their causes, `repr`, logs, receipts or the audit log."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import CANARY, ONCE, assistant, chain, drain, policy, records, shown

import ringfence
from ringfence import ConsentRequest, ToolResult, errors, provider, receipt, request, response
from ringfence.errors import Denied, Overloaded, ProtocolViolated, ProviderError, RingfenceError, StreamBroken
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller
from ringfence.provider import Embeddings, ModelCard, Plan, ProviderContext
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    OutputSchema,
    Part,
    ReasoningPart,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.response import (
    Finish,
    Media,
    ReasoningDelta,
    ReasoningEnd,
    Response,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from ringfence.testing import Script, ScriptedProvider, failing, text_events
from ringfence.transport import Clients

BYTES = CANARY.encode()
PARTS: list[Part] = [
    TextPart(CANARY),
    ImagePart(BYTES, name=CANARY),
    FilePart(BYTES, media_type="text/plain", name=CANARY),
    ToolCallPart("1", "look", CANARY),
    ToolResultPart("1", "look", CANARY),
    ReasoningPart("first", CANARY, state=CANARY),
]
TOOL = Tool(name="look", description=CANARY, parameters={"type": "object", "title": CANARY})
RECEIPT = receipt.Receipt(id="1", started_at=0, outcome="answered", policy="p", policy_digest="d", task="t", labels=())


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*"))


def part_name(part: object) -> str:
    return type(part).__name__


def everything(part: Part) -> Request:
    return Request(
        messages=(Message("system", (TextPart(CANARY),)), Message("user", (TextPart("x"), part))),
        tools=(TOOL,),
        output=OutputSchema(schema={"title": CANARY}),
        settings=Settings(stop=(CANARY,)),
        facts={"user.note": CANARY},
        tenant=CANARY,
        provider_options={"first": {"key": CANARY}},
    )


# ------------------------------------------------------------------ repr
def _holders() -> dict[str, object]:
    rules = policy("first")
    gate = Gate(rules, Labeller(rules))
    whole = everything(TextPart(CANARY))
    cleared = gate.clear(whole)
    prepared = gate.prepare(cleared, "first")
    card = ModelCard(name="m", context_tokens=1, capabilities=frozenset())
    message = Message("assistant", tuple(PARTS))
    context = ProviderContext(
        cache_dir=Path(),
        state_dir=Path(),
        logger=logging.getLogger("x"),
        options={"api_key": CANARY},
        monotonic_s=time.monotonic,
        http=lambda recipient: Clients().client(recipient, ScriptedProvider.manifest),
    )
    answer = Response(message=message, output=CANARY, finish=Finish("stop"), usage=Usage(), receipt=RECEIPT)
    return {
        **{part_name(part): part for part in PARTS},
        "Message": message,
        "Request": whole,
        "Settings": whole.settings,
        "Tool": TOOL,
        "OutputSchema": whole.output,
        "Response": answer,
        "TextDelta": TextDelta(0, CANARY),
        "ReasoningDelta": ReasoningDelta(0, CANARY),
        "ReasoningEnd": ReasoningEnd(0, CANARY),
        "ToolCallDelta": ToolCallDelta(0, CANARY),
        "Media": Media(0, FilePart(BYTES, name=CANARY)),
        "Cleared": cleared,
        "Prepared": prepared,
        "Grant": gate.grant(prepared),
        "Facts": cleared.facts,
        "Decision": cleared.decision,
        "Plan": Plan(request=whole, card=card, native={"body": CANARY}),
        "ProviderContext": context,
        "ToolResult": ToolResult(CANARY),
        "ConsentRequest": ConsentRequest(
            recipient="first",
            ring="house",
            provider="first",
            model="m",
            host=None,
            task="rewrite",
            labels=("work",),
            per="recipient",
            show=("preview",),
            payload=whole,
        ),
        "Script": Script(events=text_events(CANARY)),
    }


@pytest.mark.parametrize("name", _holders())
def test_no_repr_shows_content(name: str) -> None:
    holder = _holders()[name]
    assert CANARY not in repr(holder)
    assert CANARY not in str(holder)
    assert CANARY not in f"{holder}"
    assert repr(BYTES) not in repr(holder)


def test_the_repr_of_vectors_shows_none_of_them() -> None:
    assert "0.125" not in repr(Embeddings(vectors=((0.125, 0.5),), dimensions=2, input_tokens=1))


def test_every_public_dataclass_that_can_hold_text_is_looked_at() -> None:
    """A class added later must be put into `_holders`, or named here as one that holds none."""
    holds_none = {
        *("Adjustment", "Finish", "TextStart", "TextEnd", "ReasoningStart", "ToolCallStart", "ToolCallEnd"),
        *("UsageReport", "Usage", "Joined", "Attempt", "Attestation", "Receipt", "Manifest", "ModelCard", "Available"),
        *("Downloadable", "Downloading", "NotAvailable", "DownloadProgress", "Finding", "Embeddings"),
        *("Network", "ToolLimits", "ToolFinished", "TurnStarted"),
    }
    found = {
        name
        for module in (request, response, receipt, provider, ringfence)
        for name in getattr(module, "__all__", None) or vars(module)
        if is_dataclass(thing := getattr(module, name, None)) and isinstance(thing, type)
    }
    assert found - holds_none - set(_holders()) <= {"BudgetState", "ConsentRecord", "Retry", "Timeouts", "Policy"}


# ------------------------------------------------------------------ receipts, audit, logs
@pytest.mark.parametrize("part", PARTS, ids=part_name)
@pytest.mark.parametrize("ending", ["answered", "failed", "broken", "denied", "raised", "cancelled"])
async def test_no_content_in_receipt_audit_log_or_logs(
    part: Part, ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scripts: dict[str, Script] = {
        "failed": failing(Overloaded("full")),
        "broken": failing(StreamBroken("cut"), after=text_events(CANARY)[:2]),
        "raised": Script(events=(), error=RuntimeError(CANARY)),
    }
    first = ScriptedProvider(scripts.get(ending, Script(events=text_events(CANARY))))
    flow = "" if ending != "denied" else "  - id: no\n    deny: {labels: [unclassified], to: [house]}\n"
    allow = 'flow:\n  - id: any\n    allow: {labels: "*", to: [house]}\n'
    async with assistant(policy("first", flow=allow + flow), tmp_path, retry=ONCE, first=first) as it:
        turns = (Message("system", (TextPart(CANARY),)), Message("user", (TextPart(CANARY), part)))
        stream = it.stream(turns, tools=[TOOL], settings=Settings(stop=(CANARY,)), tenant=CANARY)
        if ending == "cancelled":
            await anext(stream)
            await stream.aclose()
        else:
            _, error = await drain(stream)
            if error is not None:
                assert CANARY not in repr(error.receipt)
                assert CANARY not in json.dumps(error.receipt.as_dict() if error.receipt else None)
    (kept,) = records(tmp_path)
    assert kept["outcome"] == {"broken": "failed", "raised": "failed"}.get(ending, ending)
    assert BYTES not in everything_in(tmp_path)
    assert CANARY not in caplog.text
    assert CANARY not in "".join(repr(vars(record)) for record in caplog.records)


# ------------------------------------------------------------------ exceptions
class Strange(Exception):
    def __str__(self) -> str:
        return CANARY


RAISED: list[Callable[[], BaseException]] = [
    lambda: Exception(CANARY),
    lambda: ValueError(CANARY, {"prompt": CANARY}),
    lambda: KeyError(CANARY),
    lambda: UnicodeEncodeError("ascii", CANARY, 0, 1, CANARY),
    lambda: OSError(2, CANARY, CANARY),
    lambda: ExceptionGroup(CANARY, [ValueError(CANARY)]),
    Strange,
]


@pytest.mark.parametrize("make", RAISED, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("place", [None, 0, 2])
async def test_what_a_provider_raises_is_never_shown(make: Callable[[], BaseException], place: int | None) -> None:
    first = ScriptedProvider(Script(events=text_events("a"), error=make(), error_at=place))
    async with assistant(policy("first"), first=first) as it:
        with pytest.raises(RingfenceError) as caught:
            await it.respond(CANARY)
    for one in chain(caught.value):
        if isinstance(one, RingfenceError):
            assert CANARY not in f"{one}{one!r}{one.args!r}"
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("make", RAISED, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("place", [None, 0, 2])
async def test_what_a_provider_raises_is_not_kept_in_the_chain_of_causes(
    make: Callable[[], BaseException], place: int | None
) -> None:
    first = ScriptedProvider(Script(events=text_events("a"), error=make(), error_at=place))
    async with assistant(policy("first"), first=first) as it:
        with pytest.raises(RingfenceError) as caught:
            await it.respond("x")
    assert [one for one in chain(caught.value) if not isinstance(one, RingfenceError)] == []
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("where", ["open", "availability", "card", "plan"])
async def test_what_a_provider_raises_before_it_sends_is_never_shown(where: str) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError(CANARY)

    broken = type("Broken", (ScriptedProvider,), {where: fail})()
    async with assistant(policy("first"), first=broken) as it:
        with pytest.raises(ProtocolViolated) as caught:
            await it.respond(CANARY)
    assert CANARY not in f"{caught.value}{caught.value!r}{caught.value.args!r}"


async def test_what_a_provider_raises_while_it_is_closed_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ScriptedProvider):
        async def close(self) -> None:
            raise RuntimeError(CANARY)

    caplog.set_level(logging.DEBUG)
    async with assistant(policy("first"), first=Broken("x")) as it:
        await it.respond("x")
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text
    assert CANARY not in "".join(repr(vars(record)) for record in caplog.records)


async def test_a_cause_that_a_provider_hung_on_its_own_error_is_not_shown() -> None:
    error = Overloaded("full")
    error.__cause__ = ValueError(CANARY)
    async with assistant(policy("first"), retry=ONCE, first=ScriptedProvider(failing(error))) as it:
        with pytest.raises(Overloaded) as caught:
            await it.respond("x")
    assert CANARY not in shown(caught.value)


async def test_partial_text_is_for_the_app_and_shown_nowhere() -> None:
    first = ScriptedProvider(failing(StreamBroken("cut"), after=text_events(CANARY)[:2]))
    async with assistant(policy("first"), first=first) as it:
        with pytest.raises(StreamBroken) as caught:
            await it.respond("x")
    assert caught.value.partial_text == CANARY
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("part", PARTS, ids=part_name)
async def test_a_refusal_shows_no_content(part: Part) -> None:
    flow = "flow:\n  - id: none\n    allow: {labels: [public], to: [house]}\n"
    async with assistant(policy("first", flow=flow), first=ScriptedProvider("x")) as it:
        with pytest.raises(Denied) as caught:
            await it.respond([part, TextPart(CANARY)], facts={})
    assert CANARY not in shown(caught.value)
    assert CANARY not in json.dumps(caught.value.decision.as_dict())


# ------------------------------------------------------------------ the tree of errors
def test_the_tree_in_the_docstring_of_errors_is_the_tree() -> None:
    tree: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        stripped = line.lstrip(" │├└─")
        name = stripped.split(" ")[0]
        if not (isinstance(getattr(errors, name, None), type) and (line.startswith("    ") and name)):
            continue
        depth = (len(line) - len(stripped) - 4) // 4
        above[depth:] = [name]
        if depth:
            tree[name] = above[depth - 1]
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, RingfenceError)]
    assert tree == {
        one.__name__: one.__base__.__name__ for one in classes if one is not RingfenceError and one.__base__
    }


def test_what_may_be_tried_again_is_exactly_this() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, RingfenceError)]
    assert {one.__name__ for one in classes if one.retryable} == {
        "RateLimited",
        "Overloaded",
        "ConnectFailed",
        "BackendDied",
    }


def test_an_error_says_its_way_out() -> None:
    error = ProviderError("it failed", way_out="something else")
    assert str(error) == "it failed (try: something else)"
    assert str(ProviderError("it failed")) == "it failed"
