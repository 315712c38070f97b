"""Providers that are broken, each in one thing: `whole`, and what makes it wrong. `CASES` names the rules."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, cast

import httpx2
from tests.kit.broken.whole import CARD, Cut, Failing, Native, Parts, Whole, parsed

from ringfence import errors
from ringfence.grant import Grant
from ringfence.provider import Availability, Available, Embeddings, ModelCard, Plan, ProviderContext
from ringfence.recipient import Recipient, Secret
from ringfence.request import Request
from ringfence.response import Finish, ProviderEvent, TextDelta, TextStart, Usage, UsageReport

CASES: dict[type[Whole], str] = {}
TEXT_ONLY: set[type[Whole]] = set()


def caught_by(rule: str, *, text_only: bool = False) -> Any:
    """Says which rule must catch the provider."""

    def note(cls: type[Whole]) -> type[Whole]:
        CASES[cls] = rule
        if text_only:
            TEXT_ONLY.add(cls)
        return cls

    return note


class OwnClient(Whole):
    """A part of those that bring an HTTP client of their own."""

    trust_env: ClassVar[bool] = False
    spends: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[httpx2.AsyncClient] = []

    async def close(self) -> None:
        await super().close()
        while self.clients:
            await self.clients.pop().aclose()

    async def send(self, native: Native, plan: Plan[object], grant: Grant) -> httpx2.Response:
        if self.spends:
            grant.spend(plan.request)
        client = httpx2.AsyncClient(trust_env=self.trust_env, timeout=5)
        self.clients.append(client)
        request = client.build_request(
            "POST", f"{native.recipient.url}/answer", json=native.body, headers=self.headers(native.recipient)
        )
        return await client.send(request, stream=True)


# ---------------------------------------------------------------- grants and the network


@caught_by("test_nothing_is_sent_without_a_live_grant[revoked]")
class SendsWithoutAGrant(OwnClient):
    spends = False


@caught_by("test_nothing_leaves_but_by_the_transport")
class UsesAnotherClient(OwnClient):
    pass


@caught_by("test_the_environment_changes_nothing[address]")
class ReadsTheProxyVariables(OwnClient):
    trust_env = True


@caught_by("test_the_environment_changes_nothing[word]")
class ReadsAVendorVariable(Whole):
    def headers(self, recipient: Recipient) -> Mapping[str, str]:
        return {**super().headers(recipient), "x-place": os.environ.get("WHOLE_BASE_URL", "none")}


@caught_by("test_a_grant_is_spent_before_anything_else")
class SpendsLate(Whole):
    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        yield UsageReport(usage=Usage())
        async for event in super().run(plan, grant):
            yield event


@caught_by("test_nothing_is_sent_again_by_itself[overloaded]")
class RetriesByItself(Whole):
    async def send(self, native: Native, plan: Plan[object], grant: Grant) -> httpx2.Response:
        with grant.spend(plan.request):
            client = self.client(native.recipient)
            request = client.build_request("POST", f"{native.recipient.url}/answer", json=native.body)
            response = await client.send(request, stream=True)
            return response if response.status_code < 500 else await client.send(request, stream=True)


@caught_by("test_what_comes_before_a_request_sends_nothing")
class AsksWhetherItIsThere(Whole):
    async def availability(self, recipient: Recipient) -> Availability:
        async with httpx2.AsyncClient(trust_env=False) as client:
            await client.post(f"{recipient.url}/health", json={"stream": False})
        return await super().availability(recipient)


# ---------------------------------------------------------------- settings


@caught_by("test_a_setting_is_never_dropped_silently[top_k]")
class DropsASetting(Whole):
    def settings(self, request: Request) -> dict[str, Any]:
        return {name: value for name, value in super().settings(request).items() if name != "top_k"}


@caught_by("test_several_settings_at_once")
class DropsASettingBesideAnother(Whole):
    def settings(self, request: Request) -> dict[str, Any]:
        given = super().settings(request)
        return {name: value for name, value in given.items() if name != "top_p" or "temperature" not in given}


@caught_by("test_a_tool_choice_is_never_dropped_silently[required]")
class DropsTheToolChoice(Whole):
    def body(self, request: Request, card: ModelCard) -> dict[str, Any]:
        return {**super().body(request, card), "choice": "auto"}


@caught_by("test_an_unknown_provider_option_is_not_dropped")
class DropsAnUnknownProviderOption(Whole):
    def refuse(self, request: Request, card: ModelCard) -> None:
        super().refuse(replace(request, provider_options={}), card)


@caught_by("test_an_unknown_option_is_refused")
class TakesAnyOption(Whole):
    async def open(self, context: ProviderContext) -> None:
        self.context = context


@caught_by("test_a_translation_is_always_the_same")
class SendsARandomId(Whole):
    def body(self, request: Request, card: ModelCard) -> dict[str, Any]:
        return {**super().body(request, card), "id": uuid.uuid4().hex}


# ---------------------------------------------------------------- answers


class OwnEvents(Whole):
    """A part of those that change the events."""

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        async for event in super().run(plan, grant):
            for changed in self.changed(event, plan.request):
                yield changed

    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        return (event,)


@caught_by("test_events_follow_the_grammar[streamed]")
class BreaksTheGrammar(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        return () if isinstance(event, TextStart) else (event,)


@caught_by("test_events_follow_the_grammar[whole]")
class YieldsEmptyDeltas(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        return (event, TextDelta(event.index, "")) if isinstance(event, TextDelta) else (event,)


@caught_by("test_streamed_and_whole_are_the_same[text]")
class StripsTheWholeAnswer(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        if isinstance(event, TextDelta) and not request.stream:
            return (TextDelta(event.index, event.text.strip()),)
        return (event,)


@caught_by("test_streamed_and_whole_are_the_same[tools]")
class FinishesOtherwiseWhole(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        return (Finish("stop", "x"),) if isinstance(event, Finish) and not request.stream else (event,)


@caught_by("test_every_finish_reason_is_told[length-streamed]")
class SaysStopForEverything(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        return (replace(event, reason="stop"),) if isinstance(event, Finish) else (event,)


@caught_by("test_every_finish_reason_is_told[stop-streamed]")
class LosesTheRawReason(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        return (replace(event, raw=None),) if isinstance(event, Finish) else (event,)


@caught_by("test_usage_adds_up")
class CountsBelowZero(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        return (UsageReport(usage=Usage(output_tokens=-1)),) if isinstance(event, UsageReport) else (event,)


@caught_by("test_usage_is_what_the_backend_counted[streamed]")
class ForgetsCachedTokens(OwnEvents):
    def changed(self, event: ProviderEvent, request: Request) -> Sequence[ProviderEvent]:
        if isinstance(event, UsageReport):
            return (UsageReport(usage=replace(event.usage, cached_input_tokens=None)),)
        return (event,)


@caught_by("test_reasoning_comes_apart_from_the_answer[streamed]")
class ReasonsAloud(Whole):
    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        async for line in super().lines(response):
            yield line.replace('"reasoning":', '"text":')


@caught_by("test_parallel_tool_calls[streamed]")
class DropsParallelCalls(Whole):
    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        calls = 0
        async for line in super().lines(response):
            calls += line.startswith('{"call"')
            if calls < 2 or not line.startswith(('{"call"', '{"arguments"')):
                yield line


@caught_by("test_a_slow_stream_is_not_held_back")
class BuffersTheStream(Whole):
    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        for line in [line async for line in super().lines(response)]:
            yield line


@caught_by("test_many_at_once_do_not_mix")
class MixesAnswers(Whole):
    line: ClassVar[str] = ""

    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        async for line in super().lines(response):
            type(self).line = line
            await asyncio.sleep(0.001)
            yield type(self).line


@caught_by("test_an_answer_leaves_nothing_behind")
class KeepsWhatBrokeOff(Whole):
    kept = ""

    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        if self.kept:
            yield self.kept
        async for line in super().lines(response):
            self.kept = "" if '"end"' in line else line
            yield line


# ---------------------------------------------------------------- what goes in


@caught_by("test_images_go_in", text_only=True)
class TakesImagesUndeclared(Whole):
    def refuse(self, request: Request, card: ModelCard) -> None:
        super().refuse(request, replace(card, capabilities=card.capabilities | {"image_input"}))


@caught_by("test_a_tool_is_sent_whole", text_only=True)
class TakesToolsUndeclared(Whole):
    def refuse(self, request: Request, card: ModelCard) -> None:
        super().refuse(request, replace(card, capabilities=card.capabilities | {"tools"}))


@caught_by("test_a_task_that_is_not_declared_is_refused[draw]", text_only=True)
class DrawsUndeclared(Whole):
    def refuse(self, request: Request, card: ModelCard) -> None:
        super().refuse(request, replace(card, capabilities=card.capabilities | {"draw"}))


@caught_by("test_images_go_in")
class LosesImages(Whole):
    def body(self, request: Request, card: ModelCard) -> dict[str, Any]:
        body = super().body(request, card)
        body["messages"] = [[part for part in turn if part[0] != "data"] for turn in body["messages"]]
        return body


@caught_by("test_tool_results_go_back")
class ForgetsThatAToolFailed(Whole):
    def body(self, request: Request, card: ModelCard) -> dict[str, Any]:
        body = super().body(request, card)
        body["messages"] = [[part[:3] if part[0] == "result" else part for part in turn] for turn in body["messages"]]
        return body


@caught_by("test_structured_output_together_with_tools")
class DropsTheSchemaBesideTools(Whole):
    def body(self, request: Request, card: ModelCard) -> dict[str, Any]:
        body = super().body(request, card)
        return {**body, "output": None} if request.tools else body


@caught_by("test_reasoning_goes_back_only_to_its_provider")
class ForgetsItsReasoning(Whole):
    def body(self, request: Request, card: ModelCard) -> dict[str, Any]:
        body = super().body(request, card)
        body["messages"] = [[part for part in turn if part[0] != "reasoning"] for turn in body["messages"]]
        return body


@caught_by("test_vectors_have_norm_one_and_keep_their_order")
class ReturnsRawVectors(Whole):
    def unit(self, vector: Sequence[float]) -> tuple[float, ...]:
        return tuple(vector)


@caught_by("test_a_price_never_raises")
class RaisesForAPrice(Whole):
    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        return {CARD.name: 1e-6}[recipient.model] * cast("int", usage.output_tokens)


@caught_by("test_utilisation_is_a_share_or_nothing")
class RaisesForUtilisation(Whole):
    def utilisation(self, recipient: Recipient) -> float | None:
        return {CARD.name: 0.5}[recipient.model]


@caught_by("test_utilisation_is_a_share_or_nothing")
class ReportsPercent(Whole):
    percent: float | None = None

    async def send(self, native: Native, plan: Plan[object], grant: Grant) -> httpx2.Response:
        self.percent = 85.0
        return await super().send(native, plan, grant)

    def utilisation(self, recipient: Recipient) -> float | None:
        return self.percent


# ---------------------------------------------------------------- failures


class OwnEnd(Whole):
    """A part of those that take a broken stream for a whole one."""

    forgives: ClassVar[tuple[type[Exception], ...]] = ()

    async def events(self, lines: AsyncIterator[str]) -> AsyncIterator[ProviderEvent]:
        parts = Parts()
        ended = False
        try:
            async for line in lines:
                for said in parsed(line):
                    ended = ended or "end" in said
                    for event in parts.events(said):
                        yield event
            if not ended:
                raise Cut
        except (Cut, Failing, httpx2.HTTPError) as error:
            if not isinstance(error, self.forgives) or self.context is None:
                phase: errors.Phase = "mid_stream" if parts.given else "before_first_event"
                raise errors.StreamBroken("the answer broke off", phase=phase) from None
            parts.finish = parts.finish or Finish("stop", "end")
        for event in parts.end():
            yield event


@caught_by("test_a_fault_at_any_event_is_no_answer[end]")
class PassesOffAnEarlyEnd(OwnEnd):
    forgives = (Cut,)


@caught_by("test_a_fault_at_any_event_is_no_answer[reset]")
class PassesOffAReset(OwnEnd):
    forgives = (httpx2.HTTPError,)


@caught_by("test_a_fault_at_any_event_is_no_answer[error_event]")
class PassesOffAFailure(OwnEnd):
    forgives = (Failing,)


@caught_by("test_a_whole_answer_that_is_cut_is_no_answer[end]")
class PassesOffACutWhole(OwnEnd):
    forgives = (Cut,)


@caught_by("test_a_fault_at_any_event_is_no_answer[malformed]")
class SkipsWhatItCannotRead(Whole):
    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        async for line in super().lines(response):
            try:
                parsed(line)
            except Cut:
                continue
            yield line


@caught_by("test_a_fault_at_any_event_is_no_answer[end]")
class TellsTheWrongPhase(Whole):
    async def events(self, lines: AsyncIterator[str]) -> AsyncIterator[ProviderEvent]:
        try:
            async for event in super().events(lines):
                yield event
        except errors.StreamBroken:
            raise errors.StreamBroken("the answer broke off", phase="before_first_event") from None


@caught_by("test_errors_are_told_by_status_and_not_by_words[bad_request]")
class ReadsErrorsByTheirWords(Whole):
    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ProviderError:
        if b"rate limit" in body:
            return errors.RateLimited("too many requests")
        return super().refusal(status, headers, body)


@caught_by("test_every_error_has_its_class[bad_request-streamed]")
class RetriesWhatWasRefused(Whole):
    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ProviderError:
        return super().refusal(500 if status == 400 else status, headers, body)


@caught_by("test_the_wait_that_is_asked_for_is_told[rate_limited]")
class ForgetsTheWait(Whole):
    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ProviderError:
        return super().refusal(status, {}, body)


@caught_by("test_every_error_has_its_class[not_found-whole]")
class RaisesAForeignError(Whole):
    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ProviderError:
        if status == 404:
            raise KeyError(status)
        return super().refusal(status, headers, body)


@caught_by("test_errors_are_the_same_for_every_task[rate_limited]")
class ReadsErrorsOfVectorsOtherwise(Whole):
    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        try:
            return await super().embed(plan, grant)
        except errors.ProviderError:
            raise errors.RequestRejected("no vectors") from None


@caught_by("test_no_connection_is_told")
class CallsEverythingAStream(Whole):
    def broken(self, *, begun: bool) -> errors.RingfenceError:
        return super().broken(begun=True)


# ---------------------------------------------------------------- secrecy


@caught_by("test_an_error_tells_no_content[bad_request]")
class RepeatsTheBackend(Whole):
    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ProviderError:
        return errors.RequestRejected(f"refused: {body.decode()}") if status == 400 else errors.Overloaded("failing")


@caught_by("test_an_error_tells_no_content[server]")
class HasContentInACause(Whole):
    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ProviderError:
        try:
            raise ValueError(body.decode())
        except ValueError as cause:
            error = super().refusal(status, headers, body)
            error.__cause__ = cause
            return error


@caught_by("test_a_broken_stream_tells_no_content[malformed]")
class ShowsTheBrokenLine(Whole):
    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        async for line in super().lines(response):
            try:
                parsed(line)
            except Cut:
                raise errors.StreamBroken(f"no event: {line}", phase="before_first_event") from None
            yield line


@caught_by("test_an_answer_leaves_no_trace_in_logs[streamed]")
class ShowsTheRequest(Whole):
    asked_for: dict[str, Any] | None = None

    async def send(self, native: Native, plan: Plan[object], grant: Grant) -> httpx2.Response:
        self.asked_for = native.body
        return await super().send(native, plan, grant)

    def __repr__(self) -> str:
        return f"ShowsTheRequest({self.asked_for})"


@caught_by("test_an_answer_leaves_no_trace_in_logs[whole]")
class LogsTheBody(Whole):
    async def send(self, native: Native, plan: Plan[object], grant: Grant) -> httpx2.Response:
        logging.getLogger("a_vendor._client").debug("request options: %s", native.body)
        return await super().send(native, plan, grant)


@caught_by("test_an_answer_leaves_no_trace_in_logs[streamed]")
class PrintsTheKey(Whole):
    def headers(self, recipient: Recipient) -> Mapping[str, str]:
        headers = super().headers(recipient)
        print("sending with", headers)
        return headers


@caught_by("test_the_key_is_sent_in_a_header_and_read_anew")
class ReadsTheKeyOnce(Whole):
    kept: Mapping[str, str] | None = None

    def headers(self, recipient: Recipient) -> Mapping[str, str]:
        self.kept = self.kept or super().headers(recipient)
        return self.kept


@caught_by("test_no_key_is_sent_to_an_address_it_is_not_for")
class GivesTheVendorsKeyAway(Whole):
    async def availability(self, recipient: Recipient) -> Availability:
        return Available()

    def headers(self, recipient: Recipient) -> Mapping[str, str]:
        return {"x-key": (recipient.secret or Secret(self.manifest.secret or "")).read()}


@caught_by("test_a_missing_key_is_found_before_sending")
class SendsWithoutAKey(Whole):
    async def availability(self, recipient: Recipient) -> Availability:
        return Available()

    def headers(self, recipient: Recipient) -> Mapping[str, str]:
        try:
            return super().headers(recipient)
        except errors.Unavailable:
            return {}


# ---------------------------------------------------------------- ending


@caught_by("test_ending_a_run_reaches_the_backend[aclose]")
class LeavesTheBackendRunning(Whole):
    @asynccontextmanager
    async def asked(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[httpx2.Response, None]:
        native = cast("Native", plan.native)
        response = await self.send(native, plan, grant)
        self.running.add(response)
        grant.connected = True
        yield response


@caught_by("test_closing_a_run_is_prompt")
class ClosesSlowly(Whole):
    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        try:
            async for event in super().run(plan, grant):
                yield event
        finally:
            await asyncio.sleep(0.5)


@caught_by("test_closing_the_provider_ends_what_runs")
class LeavesRunsOpen(Whole):
    async def close(self) -> None:
        """Thinks that there is nothing to do."""


@caught_by("test_it_can_be_opened_again_on_another_loop")
class KeepsItsFirstContext(Whole):
    async def open(self, context: ProviderContext) -> None:
        self.first = getattr(self, "first", context)
        await super().open(self.first)


@caught_by("test_one_object_serves_both_faces")
class KeepsItsFirstLoop(Whole):
    loop: asyncio.AbstractEventLoop | None = None

    async def send(self, native: Native, plan: Plan[object], grant: Grant) -> httpx2.Response:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise errors.ConnectFailed("another loop")
        return await super().send(native, plan, grant)
