"""Objects: none shows content while a request is under way, and none holds any after it."""

from __future__ import annotations

import gc
import re
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.canary.conftest import Recorder
from tests.canary.support import OPEN, SHUT, Kind, canaries, canary, policy, redacting, request, whole
from tests.canary.watch import Watch, watching

from ringfence import AsyncAssistant, ConsentRequest, Retry
from ringfence.errors import RingfenceError
from ringfence.policy import Policy, read_policy
from ringfence.privacy.consent import ConsentCallback
from ringfence.privacy.detection import DetectorSet, Scan
from ringfence.request import ToolCallPart
from ringfence.testing import PartnerServer, Scene, ScriptedProvider

ALL = canaries()
DETECTED: tuple[Kind, ...] = ("email", "credit_card", "iban", "secret")
REWRITABLE = ("system", "user", "assistant", "tool_description", "call_arguments", "result_text", "text_file")


def yes(_: ConsentRequest) -> bool:
    return True


def no(_: ConsentRequest) -> bool:
    return False


def assistant(rules: Policy, person: ConsentCallback = yes, **how: Any) -> AsyncAssistant:
    return AsyncAssistant(
        rules,
        providers={"scripted": ScriptedProvider("x")},
        audit=False,
        consent=person,
        retry=Retry(attempts=1),
        **how,
    )


# ------------------------------------------------------------------ while it is under way
@pytest.mark.parametrize("how", ["remove", "mask", "pseudonym"])
async def test_no_object_of_ours_shows_content_at_any_step(
    how: str, wire: Recorder, partner_server: PartnerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner_server.openai.play(Scene(text=("Well, ", "no.")))
    seen: set[str] = set()
    with watching(tmp_path, monkeypatch) as watch:
        scans: list[int] = []

        def scan(self: DetectorSet, kinds: Iterable[str], text: str) -> Scan:
            scans.append(1)
            if len(scans) in {1, 8, 25, 40}:
                watch.objects()
            return original(self, kinds, text)

        def person(_: ConsentRequest) -> bool:
            watch.objects()
            return True

        original = DetectorSet.scan
        monkeypatch.setattr(DetectorSet, "scan", scan)
        async with assistant(read_policy(policy(redacting(how), wire.url)), person) as it:
            messages, options = request(whole(DETECTED, REWRITABLE))
            async for _ in it.stream(messages, **options):
                watch.objects()
        seen = {where.rpartition(" ")[2] for where, _ in watch.told if where.startswith("the repr of")}
    assert {"Request", "Message", "Cleared", "Prepared", "Vault", "Entry", "Slot", "Grant", "Send", "Execution"} <= seen
    assert watch.leaks(ALL) == []


# ------------------------------------------------------------------ when it is over
_MARK = re.compile("zyz[0-9]{4}" + "zyz@wombat")


def _marks_held() -> list[str]:
    """What holds a text with the mark of this module's requests: the kinds of the holders."""
    gc.collect()
    found: list[str] = []
    for one in gc.get_objects():
        if isinstance(one, types.FrameType):
            continue
        if any(_is_marked(held) for held in gc.get_referents(one)):
            found.append(f"{type(one).__module__}.{type(one).__qualname__}")
    return found


def _is_marked(held: object) -> bool:
    if isinstance(held, str):
        return "zyz" in held and _MARK.search(held) is not None
    if isinstance(held, bytes | bytearray):
        return b"zyz" in held and _MARK.search(bytes(held).decode("latin-1")) is not None
    return False


def _marked(number: int) -> Mapping[str, str]:
    """A value with the mark for each place; made anew, so that no constant holds it."""
    return {place: f"zyz{number + at:04}zyz@wombat.example.com" for at, place in enumerate(REWRITABLE)}


async def _answered(it: AsyncAssistant) -> None:
    messages, options = request(_marked(1000))
    response = await it.respond(messages, **options)
    assert response.receipt.outcome == "answered"


async def _refused(it: AsyncAssistant) -> None:
    messages, options = request(_marked(2000))
    with suppress(RingfenceError):
        await it.respond(messages, **options)
        raise AssertionError


async def _closed_early(it: AsyncAssistant) -> None:
    messages, options = request(_marked(3000))
    stream = it.stream(messages, **options)
    await anext(stream)
    await stream.aclose()


async def _session(it: AsyncAssistant) -> None:
    def look(who: str) -> str:
        """Looks."""
        return who

    session = it.session(tools=[look])
    await session.respond(f"Write to {_marked(4000)['user']}.")
    await session.respond("And again.")


CASES: dict[str, tuple[str, Callable[[AsyncAssistant], Any], bool]] = {
    "answered": (OPEN, _answered, True),
    "redacted": (redacting("pseudonym"), _answered, True),
    "denied": (SHUT, _refused, True),
    "consent refused": (redacting("mask"), _refused, False),
    "closed early": (redacting("pseudonym"), _closed_early, True),
    "a session with a tool": (redacting("pseudonym"), _session, True),
}


@pytest.mark.parametrize("name", CASES)
async def test_nothing_holds_content_after_a_request(name: str, wire: Recorder, partner_server: PartnerServer) -> None:
    flow, ask, agrees = CASES[name]
    call = ToolCallPart("call_3", "look", '{"who": "nobody"}')
    scenes = [Scene(text=(), tool_calls=(call,))] if "session" in name else []
    partner_server.openai.play(*scenes, Scene(text=("Well, ", "no.")))
    rules = read_policy(policy(flow, wire.url, more="tools: {look: {ring: device}}\n"))
    async with assistant(rules, yes if agrees else no) as it:
        await ask(it)
        # The recorder and the double's log are not the assistant's.
        wire.forget()
        # INVARIANT of the test: the assistant and all its caches are alive here.
        assert _marks_held() == []


async def test_the_search_finds_what_is_held() -> None:
    """The other tests here can fail."""
    held = {"x": [_marked(5000)["user"]]}
    assert any("list" in one for one in _marks_held())
    del held


async def test_an_error_holds_no_content_beside_its_trace(wire: Recorder) -> None:
    async def raised() -> RingfenceError:
        messages, options = request(_marked(6000))
        async with assistant(read_policy(policy(SHUT, wire.url))) as it:
            try:
                await it.respond(messages, **options)
            except RingfenceError as error:
                return error.with_traceback(None)
        raise AssertionError

    error = await raised()
    assert _marks_held() == []
    assert "allows" in error.message


async def test_locals_in_a_trace_show_no_object_of_ours(wire: Recorder, tmp_path: Path, monkeypatch: Any) -> None:
    """What a crash reporter shows of the frames of an error. A plain text in the frame of a caller is the caller's."""
    with watching(tmp_path, monkeypatch) as watch:
        async with assistant(read_policy(policy(SHUT, wire.url))) as it:
            messages, options = request({"user": canary("email", "user")})
            with pytest.raises(RingfenceError) as caught:
                await it.respond(messages, **options)
            watch.error(caught.value)
    _shows_frames(watch)
    assert watch.leaks(ALL) == []


def _shows_frames(watch: Watch) -> None:
    assert sum("in a trace with locals" in where for where, _ in watch.told) > 3
