"""However a request ends, its content is in nothing that was logged, raised, recorded or written on the way."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from tests.canary.conftest import Recorder
from tests.canary.support import (
    KINDS,
    OPEN,
    PLACES,
    SHUT,
    Kind,
    canaries,
    canary,
    found_in,
    output_of,
    policy,
    redacting,
    request,
    whole,
)
from tests.canary.watch import Watch, watching

from ringfence import AsyncAssistant, ConsentRequest, Retry, ToolResult
from ringfence.errors import Denied, RingfenceError
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.provider import Plan
from ringfence.request import Settings, Tool, ToolCallPart
from ringfence.response import Event, ProviderEvent, Response
from ringfence.routing import runtime
from ringfence.testing import PartnerServer, Scene, Script, ScriptedProvider, call_events, text_events

ALL = canaries()
ANSWER = "answer-71-numbat-says"
SECRETS = (*ALL, ANSWER)
REWRITABLE = ("system", "user", "assistant", "tool_description", "call_arguments", "result_text", "text_file")
DETECTED: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "declared")
BUDGET = 'budgets:\n  - {id: few, of: out, limit: "1 requests", per: total, when_spent: deny}\n'
STORED = "consent:\n  partner: {per: recipient, lasts: 30d, show: [recipient, labels, preview], when_no_ui: deny}\n"


@dataclass(kw_only=True)
class Run:
    """What an ending needs, and what it learnt."""

    wire: Recorder
    server: PartnerServer
    watch: Watch
    folder: Path
    previews: list[str] = field(default_factory=list[str])
    answers: list[Response[Any]] = field(default_factory=list[Response[Any]])
    errors: list[RingfenceError] = field(default_factory=list[RingfenceError])

    def yes(self, question: ConsentRequest) -> bool:
        """A person who agrees, and remembers what they were shown."""
        self.watch.tell("the repr of a question", f"{question!r} {question}")
        self.previews.append(question.preview)
        return True

    def no(self, question: ConsentRequest) -> bool:
        """A person who does not."""
        return not self.yes(question)

    def file(self, flow: str, **how: Any) -> Path:
        """A policy file."""
        path = self.folder / "policy.yaml"
        path.write_text(policy(flow, self.wire.url, **how))
        return path

    def assistant(self, flow: str | Path, *, person: Any = "yes", near: Any = "", **how: Any) -> AsyncAssistant:
        """An assistant under a policy with `flow`."""
        path = flow if isinstance(flow, Path) else self.file(flow, **how)
        return AsyncAssistant(
            path,
            providers={"scripted": near or ScriptedProvider(ANSWER)},
            audit=self.folder / "state" / "audit",
            consent=getattr(self, person) if isinstance(person, str) else person,
            retry=Retry(attempts=2, wait_s=0.0, max_wait_s=0.1),
        )

    async def ask(self, it: AsyncAssistant, values: Mapping[str, str] | None = None, **more: Any) -> str:
        """Asks with `values`, notes all that is shown, and says how it ended: `answered` or the name of the error."""
        given = whole() if values is None else values
        declared = ["health"] if any(value in canaries(["declared"]) for value in given.values()) else []
        messages, options = request(given, declared, author=("openai", self.wire.url))
        respond = cast("Callable[..., Awaitable[Any]]", it.respond)
        return await self.note(lambda: respond(messages, output=output_of(given), **{**options, **more}))

    async def note(self, work: Callable[[], Awaitable[Any]]) -> str:
        """Does `work`, and notes what it shows."""
        try:
            answer = await work()
        except RingfenceError as error:
            self.errors.append(error)
            self.watch.error(error)
            return type(error).__name__
        if isinstance(answer, Response):
            self._answered(answer)  # pyright: ignore[reportUnknownArgumentType]  (what it is of is not told)
        return "answered"

    def _answered(self, answer: Response[Any]) -> None:
        self.answers.append(answer)
        receipt = answer.receipt
        self.watch.tell("an answer", f"{answer!r}{receipt!r}{receipt.as_dict()!r}{answer.adjustments}")


def redactable() -> dict[str, str]:
    """Detected values in all the places that can be rewritten."""
    return whole(DETECTED, REWRITABLE)


def without_schema() -> dict[str, str]:
    """Everything but an output schema, which the answer would have to fit."""
    return {place: value for place, value in whole().items() if "schema" not in place}


Ending = Callable[[Run], Awaitable[object]]
ENDINGS: dict[str, Ending] = {}


def ending(function: Ending) -> Ending:
    """One way in which a request can end; what it gives must be true."""
    ENDINGS[function.__name__] = function
    return function


# ------------------------------------------------------------------ what the policy says
@ending
async def denied(run: Run) -> object:
    async with run.assistant(SHUT) as it:
        # The device is allowed, and the route does not lead there; nothing is allowed of what is asked for.
        assert [await run.ask(it), await run.ask(it, to="out")] == ["Denied", "Denied"]
    return not run.wire.connections and not run.previews


@ending
async def on_the_device_only(run: Run) -> object:
    near = ScriptedProvider(ANSWER)
    async with run.assistant(SHUT, prefer="near, out", near=near) as it:
        assert await run.ask(it, without_schema()) == "answered"
    # Whoever may see it does.
    assert canary("email", "system") in near.requests[0].messages[0].text
    return not run.wire.connections


async def _redacted(run: Run, how: str) -> object:
    async with run.assistant(redacting(how)) as it:
        assert await run.ask(it, redactable()) == "answered"
    assert run.answers[0].receipt.redactions
    assert found_in(run.wire.sent(), ALL) == set()
    assert found_in("".join(run.previews), ALL) == set()
    return run.wire.sent() and run.previews


@ending
async def redacted_by_removing(run: Run) -> object:
    return await _redacted(run, "remove")


@ending
async def redacted_by_masking(run: Run) -> object:
    return await _redacted(run, "mask")


@ending
async def redacted_as_pseudonyms(run: Run) -> object:
    return await _redacted(run, "pseudonym")


@ending
async def declared_and_redacted_whole(run: Run) -> object:
    values = {"system": canary("declared", "system"), "result_text": canary("declared", "result_text")}
    async with run.assistant(redacting("pseudonym")) as it:
        assert await run.ask(it, values) == "answered"
    assert found_in("".join(run.previews), ALL) == set()
    return run.wire.sent() and found_in(run.wire.sent(), ALL) == set()


@ending
async def what_cannot_be_redacted(run: Run) -> object:
    async with run.assistant(redacting("mask")) as it:
        for place in ("parameter_name", "schema_enum", "stop", "provider_options"):
            assert await run.ask(it, {place: canary("email", place)}) == "GateError"
    return not run.wire.connections


@ending
async def consent_refused(run: Run) -> object:
    async with run.assistant(redacting("pseudonym"), person="no") as it:
        assert await run.ask(it, redactable()) == "ConsentRefused"
    return not run.wire.connections and run.previews


@ending
async def nobody_to_ask(run: Run) -> object:
    async with run.assistant(OPEN, person=None) as it:
        assert await run.ask(it) == "ConsentRefused"
    return not run.wire.connections


@ending
async def asking_fails_with_the_preview_in_its_mouth(run: Run) -> object:
    def fails(question: ConsentRequest) -> bool:
        raise ValueError(question.preview)

    async with run.assistant(OPEN, person=fails) as it:
        assert await run.ask(it) == "ConsentRefused"
    return not run.wire.connections


@ending
async def consent_refused_and_the_device_answers(run: Run) -> object:
    async with run.assistant(OPEN, person="no", fallback="[near]") as it:
        assert await run.ask(it, redactable()) == "answered"
    return not run.wire.connections and run.answers[0].receipt.recipient == "near"


@ending
async def consent_given_kept_and_taken_back(run: Run) -> object:
    says = ["yes", "no"]

    def person(question: ConsentRequest) -> bool:
        return bool(getattr(run, says.pop(0))(question))

    async with run.assistant(OPEN, person=person, more=STORED) as it:
        assert [await run.ask(it, without_schema()) for _ in range(2)] == ["answered", "answered"]
        sent = run.wire.sent()
        run.watch.tell("the list of consents", repr([one.as_dict() for one in await it.consents()]))
        assert await it.revoke(everything=True) == 1
        assert await run.ask(it) == "ConsentRefused"
        run.watch.tell("the list of consents", repr(await it.consents(ended=True)))
    assert (run.folder / "state" / "consent.db").is_file()
    return sent and run.wire.sent() == sent


@ending
async def a_budget_is_spent(run: Run) -> object:
    async with run.assistant(OPEN, more=BUDGET) as it:
        assert await run.ask(it, redactable()) == "answered", run.errors
        sent = run.wire.sent()
        assert await run.ask(it, redactable()) == "BudgetSpent"
        run.watch.tell("the budgets", repr(await it.budgets()))
    return sent and run.wire.sent() == sent


@ending
async def beside_a_shadow(run: Run) -> object:
    (run.folder / "next.yaml").write_text(policy(SHUT, run.wire.url).replace("name: canaries", "name: next"))
    async with run.assistant(OPEN, more="shadow: next.yaml\n") as it:
        assert await run.ask(it, without_schema()) == "answered"
    return run.answers[0].receipt.shadow


@ending
async def under_a_layer(run: Run) -> object:
    layer = "version: 1\nname: company\nflow:\n  - {id: inside, deny: {labels: [contact], to: [partner]}}\n"
    (run.folder / "company.yaml").write_text(layer)
    async with run.assistant(OPEN, more="include: [company.yaml]\n") as it:
        assert await run.ask(it) == "Denied"
    return not run.wire.connections


@ending
async def while_a_new_version_is_broken(run: Run) -> object:
    path = run.file(SHUT)
    async with run.assistant(path) as it:
        path.write_text(path.read_text().replace("flow:", "flwo:"))
        assert await run.ask(it) == "Denied"
        assert await run.note(it.reload) == "PolicyInvalid"
        run.watch.tell("the state of the policy", repr(it.policy_state))
        assert it.policy_state.faults
    return not run.wire.connections


# ------------------------------------------------------------------ what goes wrong on the way
@ending
async def the_partner_refuses_and_repeats_the_request(run: Run) -> object:
    async with run.assistant(OPEN) as it:
        for error in ("bad_request", "authentication", "context_length", "rate_limited", "server"):
            run.server.openai.play(Scene(error=error, text=(" ".join(ALL),)))
            assert await run.ask(it) != "answered"
    return run.wire.sent()


@ending
async def the_stream_breaks(run: Run) -> object:
    async with run.assistant(OPEN) as it:
        for fault in ("reset", "end", "malformed", "error_event"):
            run.server.openai.play(Scene(text=(ANSWER, *ALL), fault=fault, fault_at=4))
            messages, options = request(redactable())

            async def drawn(given: Any = messages, options: Any = options) -> None:
                stream = cast("Callable[..., AsyncIterator[Event]]", it.stream)
                async for event in stream(given, **options):
                    run.watch.tell("the repr of an event", f"{event!r} {event}")

            assert await run.note(drawn) != "answered"
    return run.wire.sent()


@ending
async def cancelled_in_the_middle(run: Run) -> object:
    run.server.openai.play(Scene(text=(ANSWER, *ALL), chunk_delay_s=0.05))
    async with run.assistant(OPEN) as it:
        messages, options = request(redactable())
        stream = it.stream(messages, **options)
        await anext(stream)
        await stream.aclose()
        task = asyncio.create_task(it.respond(messages, **options))
        await asyncio.sleep(0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return run.wire.sent()


@ending
async def a_provider_raises_what_it_was_sent(run: Run) -> object:
    class Broken(ScriptedProvider):
        async def close(self) -> None:
            raise RuntimeError(" ".join(ALL))

    for place in (None, 0, 2):
        near = Broken(Script(events=text_events(ANSWER), error=ValueError(*ALL), error_at=place))
        async with run.assistant(SHUT, prefer="near", near=near) as it:
            assert await run.ask(it, redactable()) in {"ProtocolViolated", "StreamBroken"}
    return True


@ending
async def a_provider_is_given_what_it_does_not_know(run: Run) -> object:
    async with run.assistant(OPEN) as it:
        odd = {name: {canary("email", "provider_options"): canary("secret", "provider_options")} for name in ["openai"]}
        assert await run.ask(it, redactable(), provider_options=odd) == "InvalidRequest"
    return not run.wire.connections


# ------------------------------------------------------------------ tools
def _calling(name: str, **arguments: str) -> Scene:
    return Scene(text=(), tool_calls=(ToolCallPart("call_9", name, json.dumps(arguments)),))


@ending
async def a_tool_fails_with_its_arguments_in_its_mouth(run: Run) -> object:
    def look(who: str) -> str:
        """Looks."""
        raise ValueError(who)

    values = redactable()
    del values["tool_description"]
    run.server.openai.play(_calling("look", who=values["user"]), Scene(text=(ANSWER,)))
    async with run.assistant(OPEN) as it:
        assert await run.ask(it, values, tools=[look]) == "answered"
    return len(run.server.openai.seen()) == 2


@ending
async def a_model_names_a_tool_after_what_it_read(run: Run) -> object:
    def look() -> ToolResult:
        """Looks."""
        return ToolResult("nothing", labels=frozenset({"health"}))

    name = canary("declared", "user")
    calls = (ToolCallPart("call_8", name, "{}"), ToolCallPart("call_9", "look", "{}"))
    run.server.openai.play(Scene(text=(), tool_calls=calls))
    async with run.assistant(SHUT) as it:
        assert await run.note(lambda: it.respond(f"Look at {name}.", tools=[look])) == "Denied"
    return len(run.server.openai.seen()) == 1


@ending
async def a_person_asked_about_a_call_fails(run: Run) -> object:
    def look(who: str) -> str:
        """Looks."""
        return who

    def approve(call: ToolCallPart) -> bool:
        run.watch.tell("the repr of a call", repr(call))
        raise ValueError(call.arguments)

    values = redactable()
    del values["tool_description"]
    run.server.openai.play(_calling("look", who=values["user"]), Scene(text=(ANSWER,)))
    async with run.assistant(OPEN) as it:
        assert await run.ask(it, values, tools=[look], approve=approve) == "answered"
    return len(run.server.openai.seen()) == 2


@ending
async def a_tool_gets_a_value_and_gives_one(run: Run) -> object:
    handed: list[str] = []

    def look(who: str) -> str:
        """Looks."""
        handed.append(who)
        return canary("iban", "result_text")

    mail = canary("email", "user")
    run.server.openai.play(_calling("look", who=mail), Scene(text=(ANSWER,)))
    tools = "tools: {look: {ring: device}}\n"
    async with run.assistant(redacting("pseudonym"), more=tools) as it:
        session = it.session(tools=[look])
        run.watch.tell("a session", repr(session))
        assert await run.note(lambda: session.respond(f"Write to {mail}.")) == "answered"
        run.watch.tell("a session", repr(session))
        # What an app asks for is its own.
        assert mail in str(session.dump())
    assert handed
    return len(run.server.openai.seen()) == 2 and found_in(run.wire.sent(), ALL) == set()


# ------------------------------------------------------------------ what is wrong with the arguments
@ending
async def arguments_that_are_refused(run: Run) -> object:
    value = canary("email", "user")
    odd: list[dict[str, Any]] = [
        {"facts": {"user.note": value}},
        {"facts": {"user.note": [value]}},
        {"settings": value},
        {"tools": [value]},
        {"tool_choice": value},
        {"provider_options": {"openai": value}},
        {"attachments": [value]},
        {"to": [1, value]},
        {"labels": [1, value]},
        {"approve": value},
        {"tool_limits": value},
    ]
    async with run.assistant(SHUT) as it:
        for options in odd:
            respond = cast("Callable[..., Awaitable[Any]]", it.respond)
            await run.note(partial(respond, value, **options))
        for dump in ({"version": 1, "messages": [{"role": value, "parts": [value]}]}, {"version": value}, [value]):

            async def load(dump: Any = dump) -> None:
                it.session(load=dump)

            assert await run.note(load) == "InvalidRequest"
        for make in (
            lambda: Settings(stop=(value, "")),
            lambda: Settings(image_size=value),
            lambda: Settings(voice=value),
            lambda: Tool(name="t", parameters=[value]),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ):

            async def made(make: Callable[[], object] = make) -> None:
                make()

            assert await run.note(made) == "InvalidRequest"
    return len(run.errors) >= len(odd) and not run.wire.connections


# ------------------------------------------------------------------ the tests
@pytest.fixture(autouse=True)
def check_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "CHECK_EVERY_S", 0.0)


_TOOLS = ("a_tool_gets_a_value_and_gives_one", "a_tool_fails_with_its_arguments_in_its_mouth")


@pytest.mark.parametrize("name", ENDINGS)
async def test_content_is_in_nothing_that_is_told_or_kept(
    name: str, wire: Recorder, partner_server: PartnerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner_server.openai.play(Scene(text=(ANSWER,)))
    with watching(tmp_path, monkeypatch) as watch:
        run = Run(wire=wire, server=partner_server, watch=watch, folder=tmp_path)
        assert await ENDINGS[name](run)
    assert watch.leaks(SECRETS) == []
    assert all(Path(path).is_relative_to(tmp_path) or path == "/dev/null" for path in watch.written)


async def test_the_watch_finds_what_is_logged_raised_written_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tests here can fail."""
    values = [canary("email", place) for place in PLACES]
    with watching(tmp_path, monkeypatch) as watch:
        logging.getLogger("openai._base").debug("%s", {"body": values[0]})
        (tmp_path / "tmp" / "gone").write_text(values[1])
        (tmp_path / "tmp" / "gone").unlink()
        (tmp_path / "state" / "kept").write_text(values[2])
        (tmp_path / "cache" / values[3]).touch()
        print(values[4])
        monkeypatch.setenv("LEFT", values[5])
        error = RingfenceError("harmless")
        error.__context__ = ValueError(values[6])
        watch.error(error)
        with closing(sqlite3.connect(tmp_path / "state" / "some.db")) as database:
            database.execute("CREATE TABLE t (x)")
            database.execute("INSERT INTO t VALUES (?)", (values[7],))
    assert {leak.partition(" in ")[0] for leak in watch.leaks(ALL)} == set(values[:8])


@pytest.mark.parametrize("name", ["redacted_as_pseudonyms", "denied", "the_stream_breaks", "consent_refused", *_TOOLS])
async def test_asyncio_in_debug_mode_tells_no_content(
    name: str, wire: Recorder, partner_server: PartnerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner_server.openai.play(Scene(text=(ANSWER,)))
    with watching(tmp_path, monkeypatch, asyncio_debug=True) as watch:
        run = Run(wire=wire, server=partner_server, watch=watch, folder=tmp_path)
        assert await ENDINGS[name](run)
    assert any(where == "a log record of asyncio" for where, _ in watch.told)
    assert watch.leaks(SECRETS) == []


class _Writes(ScriptedProvider):
    """A model that calls a tool with the placeholder that it was sent."""

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        said = plan.request.messages[-1].text
        placeholder = _PLACEHOLDER.search(said)
        self._scripts = [Script(events=call_events("look", who=placeholder[0])) if placeholder else Script()]
        async for event in super().run(plan, grant):
            yield event


_PLACEHOLDER = re.compile(r"\[EMAIL-1-[a-z]{5}\]")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_tool_gets_the_value_only_where_the_policy_says_that_it_may(declared: bool, wire: Recorder) -> None:
    handed: list[str] = []

    def look(who: str) -> str:
        """Looks."""
        handed.append(who)
        return "nothing"

    tools = "tools: {look: {ring: device}}\n" if declared else ""
    rules = policy(redacting("pseudonym"), wire.url, more=tools)
    text = rules.replace("provider: openai", "provider: scripted").replace("options: {api: responses}", "options: {}")
    mail = canary("email", "user")
    async with AsyncAssistant(
        read_policy(text), providers={"scripted": _Writes()}, audit=False, consent=lambda _: True
    ) as it:
        with suppress(Denied):
            await it.respond(f"Write to {mail}.", tools=[look])
    assert [mail if one == mail else bool(_PLACEHOLDER.fullmatch(one)) for one in handed] == [
        mail if declared else True
    ]
