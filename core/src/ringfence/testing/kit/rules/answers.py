"""Rules on what an answer is: its events, parts, usage and finish."""

from __future__ import annotations

import time
from typing import get_args

import pytest

from ringfence.errors import InvalidRequest, RingfenceError
from ringfence.provider import INTERFACE_VERSION, Availability, Manifest, ModelCard, NotAvailable
from ringfence.request import ReasoningPart, ToolCallPart
from ringfence.response import Finish, FinishReason, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from ringfence.testing.kit.base import Subject, needs_backend
from ringfence.testing.kit.expect import expect, named
from ringfence.testing.kit.material import ANSWER, CALLS, TOOLS
from ringfence.testing.kit.opened import Outcome, opened
from ringfence.testing.scenes import Scene

# Characters that some readers of lines take for the end of one.
TEXT = (ANSWER, " füllt", " drei\u2028\x85", " Stücke – 🏛️.")


class AnswerRules(Subject):
    """What comes back is an answer, and the whole answer."""

    def test_the_manifest_and_the_cards_agree(self) -> None:
        """The manifest speaks this interface version, and no card claims a capability that the manifest lacks."""
        manifest = self.provider.manifest
        expect(isinstance(manifest, Manifest), "the provider class has no manifest")
        expect(manifest.interface == INTERFACE_VERSION, f"the manifest speaks interface {manifest.interface}")
        cards = [self.bench.card(kind) for kind in ("text", *self.models)]
        cards += self.bench.run(self._kit_models())
        for card in cards:
            expect(card.context_tokens > 0, f"the card of {card.name} gives no context")
            beyond = sorted(card.capabilities - manifest.capabilities)
            if self.capabilities is None:
                expect(not beyond, f"the card of {card.name} claims {beyond}, and the manifest does not")
        expect(self.bench.kinds(), "the model can do nothing that can be asked")

    async def _kit_models(self) -> list[ModelCard]:
        return list(await (await self.bench.opened()).provider.models())

    def test_what_comes_before_a_request_sends_nothing(self) -> None:
        """Models, card, availability and plan send nothing."""
        self.bench.play(Scene())

        async def asked() -> Availability:
            found = await self.bench.opened()
            recipient = found.recipient()
            await found.provider.models()
            await found.provider.card(recipient)
            for _ in range(2):
                (await found.ready(self.bench.asking())).grant.revoke()
            return await found.provider.availability(recipient)

        state = self.bench.run(asked())
        expect(not isinstance(state, NotAvailable), f"the recipient of the kit is not available: {state}")
        expect(not self.bench.seen(), "the backend saw a request before run() was called")

    def test_an_unknown_option_is_refused(self) -> None:
        """An app's option that the provider does not know is refused when it is opened."""

        async def asked() -> None:
            options = {**self.options, "kit_no_such_option": 1}
            async with opened(self.bench.make, self.bench.gate, options, self.bench.folder):
                pass

        try:
            self.bench.run(asked())
        except InvalidRequest:
            return
        except RingfenceError as error:
            raise AssertionError(f"an unknown option raised {named(error)}, not InvalidRequest") from error
        expect(False, "an unknown option was taken")  # noqa: FBT003  (reached only where nothing was raised)

    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    def test_events_follow_the_grammar(self, *, stream: bool) -> None:
        """Parts start in order, grow by deltas that are not empty, and end; one finish comes last."""
        outcome = self.bench.answer(self.bench.asking(stream=stream), self._kit_scene())
        for _, event in outcome.events:
            if isinstance(event, TextDelta | ReasoningDelta):
                expect(event.text, f"an empty {event.type}")
            if isinstance(event, ToolCallDelta):
                expect(event.arguments, "an empty tool_call_delta")
        expect(type(outcome.events[-1][1]) is Finish, "the last event is no finish")
        if self.bench.backend is not None:
            expect(outcome.message is not None and outcome.message.text == "".join(TEXT), "the text is another")

    def _kit_scene(self) -> Scene:
        reasoning = ("first this, ", "then that") if self.bench.can("reasoning") else ()
        return Scene(text=TEXT, reasoning=reasoning)

    @needs_backend
    @pytest.mark.parametrize("with_tools", [False, True], ids=["text", "tools"])
    def test_streamed_and_whole_are_the_same(self, *, with_tools: bool) -> None:
        """The same answer has the same parts, finish and usage, streamed or not."""
        tools = TOOLS if with_tools and self.bench.can("tools") else ()
        scene = self._kit_scene()
        if tools:
            scene = Scene(text=TEXT, reasoning=scene.reasoning, tool_calls=CALLS)
        streamed = self.bench.answer(self.bench.asking(stream=True, tools=tools), scene)
        whole = self.bench.answer(self.bench.asking(stream=False, tools=tools), scene)
        expect(_parts(streamed) == _parts(whole), "the parts of a streamed answer are not those of the whole")
        expect(streamed.finish == whole.finish, f"finish {streamed.finish} streamed, {whole.finish} whole")
        expect(streamed.usage == whole.usage, f"usage {streamed.usage} streamed, {whole.usage} whole")

    @needs_backend
    def test_a_slow_stream_is_not_held_back(self) -> None:
        """What the backend sends is passed on at once, not when the answer is whole."""
        pause_s, chunks = 0.12, ("one ", "two ", "three ", "four ", "five")
        began = time.monotonic()
        outcome = self.bench.answer(self.bench.asking(), Scene(text=chunks, chunk_delay_s=pause_s))
        came = [at - began for at, event in outcome.events if isinstance(event, TextDelta)]
        expect(len(came) > 1, "five chunks came as one")
        expect(came[-1] - came[0] >= pause_s * 2, "the chunks were kept back until the end")

    @needs_backend
    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    @pytest.mark.parametrize("reason", get_args(FinishReason))
    def test_every_finish_reason_is_told(self, reason: FinishReason, *, stream: bool) -> None:
        """Each reason for which the wire has a word is reported, with the word itself as raw."""
        declared: set[str] = {*self.finish_reasons, *(("tool_calls",) if self.bench.can("tools") else ())}
        if reason not in declared:
            reason = "stop"
        calls = CALLS[:1] if reason == "tool_calls" else ()
        scene = Scene(text=TEXT, tool_calls=calls, finish=reason)
        request = self.bench.asking(stream=stream, tools=TOOLS if calls else ())
        finish = self.bench.answer(request, scene).finish
        expect(
            finish is not None and finish.reason == reason, f"the backend ended with {reason}, reported was {finish}"
        )
        expect(finish is not None and finish.raw, "the backend's own word for the finish is not there")

    @needs_backend
    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    def test_usage_is_what_the_backend_counted(self, *, stream: bool) -> None:
        """Tokens are those the backend reported, cached and reasoning tokens among the others."""
        for counted in (
            Usage(input_tokens=23, output_tokens=17, cached_input_tokens=5, reasoning_tokens=4),
            Usage(input_tokens=9, output_tokens=2, cached_input_tokens=0, reasoning_tokens=0),
        ):
            usage = self.bench.answer(self.bench.asking(stream=stream), Scene(usage=counted)).usage
            for name in sorted(self.usage_fields):
                expected, reported = getattr(counted, name), getattr(usage, name)
                same = reported == expected or (not expected and not reported)
                expect(same, f"the backend counted {name}={expected}, reported was {reported}")

    def test_usage_adds_up(self) -> None:
        """Cached tokens are among the input's and reasoning tokens among the output's; none is negative."""
        usage = self.bench.answer(self.bench.asking()).usage
        expect(
            (usage.cached_input_tokens or 0) <= (usage.input_tokens or 0) or usage.input_tokens is None,
            "more cached tokens than input tokens",
        )
        expect(
            (usage.reasoning_tokens or 0) <= (usage.output_tokens or 0) or usage.output_tokens is None,
            "more reasoning tokens than output tokens",
        )


def _parts(outcome: Outcome) -> list[tuple[str, ...]]:
    """The parts of an answer without what may differ between two runs: opaque state, and ids of the provider's own."""
    message = outcome.message
    found: list[tuple[str, ...]] = []
    for part in () if message is None else message.parts:
        match part:
            case ToolCallPart():
                found.append(("call", part.name, part.arguments))
            case ReasoningPart():
                found.append(("reasoning", part.text, str(part.state is None)))
            case _:
                found.append((type(part).__name__, getattr(part, "text", "")))
    return found


__all__ = ["AnswerRules"]
