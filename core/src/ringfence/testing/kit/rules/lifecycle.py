"""Rules on one object used again and again, on several loops, and by many at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ringfence.provider import Provider, ProviderContext
from ringfence.testing.kit.base import Subject
from ringfence.testing.kit.expect import expect, named
from ringfence.testing.kit.opened import Outcome, reopened
from ringfence.testing.scenes import Scene

_AT_ONCE = 8


class LifecycleRules(Subject):
    """A provider keeps nothing of one request for the next, nor of one loop for another."""

    def test_many_at_once_do_not_mix(self) -> None:
        """Eight requests at once each get an answer of their own, whole."""
        texts = [tuple(f"kit-{number}-{place} " for place in range(6)) for number in range(_AT_ONCE)]
        self.bench.play(*(Scene(text=text, chunk_delay_s=0.01) for text in texts))

        async def asked() -> list[Outcome]:
            found = await self.bench.opened()
            requests = [self.bench.asking(f"Say the number {number}.") for number in range(_AT_ONCE)]
            return await asyncio.gather(*(found.outcome(request) for request in requests))

        outcomes = self.bench.run(asked())
        for outcome in outcomes:
            expect(outcome.error is None, f"one of {_AT_ONCE} requests at once ended in {named(outcome.error)}")
        if self.bench.backend is not None:
            came = sorted("" if one.message is None else one.message.text for one in outcomes)
            expect(came == sorted("".join(text) for text in texts), "answers that were made at once are mixed up")
            expect(len(self.bench.seen()) == _AT_ONCE, f"the backend saw {len(self.bench.seen())} requests")

    def test_it_can_be_opened_again_on_another_loop(self) -> None:
        """One object can be opened, asked and closed, and then again on another loop."""
        provider = self.bench.make()

        async def asked() -> Outcome:
            bench = self.bench
            async with reopened(provider, bench.gate, bench.options, bench.folder) as found:
                return await found.outcome(self.bench.asking())

        for turn in ("first", "second"):
            self.bench.play(Scene())
            outcome = asyncio.run(asked())
            expect(outcome.error is None, f"the {turn} time it was opened, the request ended in {named(outcome.error)}")

    def test_one_object_serves_both_faces(self) -> None:
        """One object answers in a synchronous app, and after that in an asynchronous one."""
        from ringfence.assistant import Assistant, AsyncAssistant  # noqa: PLC0415  (only this rule needs the faces)

        setup = {self.bench.provider_name: self._kit_with_options()}
        settings = self.bench.settings

        async def asked() -> str:
            async with AsyncAssistant(self.bench.policy, providers=setup, audit=False) as assistant:
                return (await assistant.respond("Say hello.", settings=settings, to="kit-text")).text

        self.bench.play(Scene())
        with Assistant(self.bench.policy, providers=setup, audit=False) as assistant:
            one = assistant.respond("Say hello.", settings=settings, to="kit-text").text
        other = asyncio.run(asked())
        if self.bench.backend is not None:
            expect(one == other == "".join(Scene().text), "the answers of the two faces differ")

    def _kit_with_options(self) -> Provider:
        """A new object that an assistant can be given: it opens those without options, and this one adds its own."""
        provider, options = self.bench.make(), self.options
        take = provider.open

        async def open_with_options(context: ProviderContext) -> None:
            await take(replace(context, options=options))

        if options:
            vars(provider)["open"] = open_with_options
        return provider

    def test_an_answer_leaves_nothing_behind(self) -> None:
        """A request that failed does not change the next one."""
        if self.bench.backend is None:
            self.bench.answer(self.bench.asking())
            self.bench.answer(self.bench.asking())
            return
        self.bench.answer(self.bench.asking(), Scene(text=("a ", "b")))
        self.bench.outcome(self.bench.asking(), Scene(error="server"))
        self.bench.outcome(self.bench.asking(), Scene(text=("left ", "over ", "words"), fault="reset", fault_at=2))
        message = self.bench.answer(self.bench.asking(), Scene(text=("clean ", "again"))).message
        expect(message is not None and message.text == "clean again", "something of an earlier answer is in this one")


__all__ = ["LifecycleRules"]
