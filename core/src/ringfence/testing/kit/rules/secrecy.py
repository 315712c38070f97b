"""Rules on what nobody may see: content and keys in errors, logs, representations and addresses (invariant 7)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import get_args

import pytest

from ringfence.errors import Unavailable
from ringfence.provider import NotAvailable
from ringfence.request import ImagePart, Message, Request, TextPart
from ringfence.testing.kit.base import Subject, needs_backend
from ringfence.testing.kit.expect import expect, named
from ringfence.testing.kit.material import ANSWER, PROMPT, SECRET, SECRET_VARIABLE
from ringfence.testing.kit.opened import Opened, Outcome
from ringfence.testing.kit.watching import environment, overhearing, told_by
from ringfence.testing.scenes import ErrorKind, Fault, Scene

_MARKS = {"the prompt": PROMPT, "the answer": ANSWER, "the key": SECRET}
_ROTATED = "kit-secret-rotated-8c3e"
# What a backend says of a request that it refuses often repeats the request.
_ECHO = (f"{PROMPT} {SECRET} {ANSWER}",)


class SecrecyRules(Subject):
    """Content goes to the backend and to the app, and nowhere else."""

    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    def test_an_answer_leaves_no_trace_in_logs(self, *, stream: bool) -> None:
        """An answer, its prompt and the key stand in no log record of any logger, and in no representation."""
        self._kit_quiet(self._kit_request(stream=stream), Scene(text=(ANSWER, " more ", ANSWER)), "an answer")

    @needs_backend
    @pytest.mark.parametrize("kind", get_args(ErrorKind))
    def test_an_error_tells_no_content(self, kind: ErrorKind) -> None:
        """A refusal of the backend, which may repeat the request and the key, leads to an error that does not."""
        for stream in (True, False):
            scene = Scene(error=kind, text=_ECHO, retry_after_s=3)
            self._kit_quiet(self._kit_request(stream=stream), scene, f"'{kind}'")

    @needs_backend
    @pytest.mark.parametrize("fault", [fault for fault in get_args(Fault) if fault != "stall"])
    def test_a_broken_stream_tells_no_content(self, fault: Fault) -> None:
        """An answer that breaks, at its first event or in its middle, leads to an error without any of it."""
        for place in (0, 1, 3):
            # Half of an event is still content.
            text = tuple(f"{mark} and so on" + " and on" * 9 for mark in (ANSWER, SECRET, PROMPT, ANSWER))
            scene = Scene(text=text, fault=fault, fault_at=place)
            self._kit_quiet(self._kit_request(stream=True), scene, f"'{fault}' at event {place}")

    def _kit_request(self, *, stream: bool) -> Request:
        messages = (
            Message("system", (TextPart(f"Never repeat {PROMPT}."),)),
            Message("user", (TextPart(f"{PROMPT}: say hello."),)),
        )
        return self.bench.asking(messages=messages, stream=stream)

    def _kit_quiet(self, request: Request, scene: Scene, what: str) -> None:
        with overhearing() as overheard:
            outcome = self.bench.outcome(request, scene)
            shown = list(self._kit_shown(outcome))
        for said in (*overheard.said(), *told_by(outcome.error), *shown):
            for mark_name, mark in _MARKS.items():
                # The child of an error's trace is a line of code; the mark is never in one.
                place = said.partition(":")[0].partition("\n")[0]
                expect(mark not in said, f"after {what}, {mark_name} stands in {place}")

    def _kit_shown(self, outcome: Outcome) -> Iterator[str]:
        async def found() -> Opened:
            return await self.bench.opened()

        opened = self.bench.run(found())
        recipients: Iterable[object] = self.bench.policy.recipients.values()
        events = (event for _, event in outcome.events)
        for one in (opened.provider, opened.context, outcome.plan, outcome.grant, *recipients, *events):
            yield f"the representation of {type(one).__name__}: {one!r} {one}"

    def test_what_cannot_be_sent_tells_no_content(self) -> None:
        """A refusal in `plan` tells the setting, and nothing of the request."""
        parts = (TextPart(PROMPT), ImagePart(PROMPT.encode(), media_type="image/x-kit"))
        requests = [
            self.bench.asking(*parts),
            self.bench.asking(PROMPT, provider_options={self.bench.provider_name: {"kit_option": PROMPT}}),
        ]
        for request in requests:
            self._kit_quiet(request, Scene(), "a request with something odd in it")

    # ------------------------------------------------------------------ the key
    @needs_backend
    def test_a_missing_key_is_found_before_sending(self) -> None:
        """Without its key the recipient is `NotAvailable`, `not_configured`, with the way out; nothing is sent."""
        if self.provider.manifest.secret is None:
            self.bench.answer(self.bench.asking(), Scene())
            return
        kept = os.environ.pop(SECRET_VARIABLE)
        try:
            outcome = self.bench.outcome(self.bench.asking(), Scene())
        finally:
            os.environ[SECRET_VARIABLE] = kept
        error = outcome.error
        expect(not outcome.seen, "without a key, something was sent")
        expect(isinstance(error, Unavailable), f"without a key, the request ended in {named(error)}")
        expect(isinstance(error, Unavailable) and error.reason == "not_configured", "the reason is not not_configured")
        expect(isinstance(error, Unavailable) and error.way_out, "it is not told how to give the key")

    @needs_backend
    def test_the_key_is_sent_in_a_header_and_read_anew(self) -> None:
        """The key goes in a header, never in the address or the body, and one that was changed is seen at once."""
        for value in (SECRET, _ROTATED, SECRET):
            with environment({SECRET_VARIABLE: value}):
                seen = self.bench.answer(self.bench.asking(), Scene()).seen[0]
            expect(value not in seen.path and value not in seen.query, "the key stands in the address")
            expect(value.encode() not in seen.body, "the key stands in the body")
            carried = any(value in header for header in seen.headers.values())
            expect(carried or self.provider.manifest.secret is None, "the key that is set now was not sent")

    @needs_backend
    def test_no_key_is_sent_to_an_address_it_is_not_for(self) -> None:
        """A recipient with an address of its own never gets the vendor's key, unless the policy names it."""
        usual = self.provider.manifest.secret or ""
        name = usual.removeprefix("env:")
        if not usual.startswith("env:"):
            self.bench.answer(self.bench.asking(), Scene())
            return

        async def asked() -> Outcome:
            async with self.bench.without_secret() as found:
                return await found.outcome(self.bench.asking())

        self.bench.play(Scene())
        with environment({name: "kit-vendor-key-77d0"}):
            self.bench.run(asked())
        for seen in self.bench.seen():
            said = (*seen.headers.values(), seen.path, seen.query, seen.body.decode("latin-1"))
            expect(not any("kit-vendor-key" in one for one in said), f"{name} was sent to an address it is not for")

    def test_options_that_make_no_sense_are_found(self) -> None:
        """An option of a recipient that the provider does not know makes it `NotAvailable`, or is refused."""

        async def asked() -> bool:
            async with self.bench.with_option("kit_no_such_option") as found:
                state = await found.provider.availability(found.recipient())
                if isinstance(state, NotAvailable):
                    return True
                outcome = await found.outcome(self.bench.asking())
                return outcome.error is not None and outcome.plan is None

        self.bench.play(Scene())
        expect(self.bench.run(asked()), "a recipient with an option that nobody knows is available")


__all__ = ["SecrecyRules"]
