"""A correct provider with every capability, on a tiny wire of its own: one JSON value a line."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any, ClassVar, cast

import httpx2

from ringfence import errors
from ringfence.grant import Grant
from ringfence.provider import (
    INTERFACE_VERSION,
    Availability,
    Available,
    Embeddings,
    Manifest,
    ModelCard,
    NotAvailable,
    Plan,
    Provider,
    ProviderContext,
)
from ringfence.recipient import Recipient
from ringfence.request import FilePart, ImagePart, Part, ReasoningPart, Request, TextPart, ToolCallPart, ToolResultPart
from ringfence.response import (
    Finish,
    Media,
    ProviderEvent,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)

CAPABILITIES = frozenset(
    {
        "text",
        "image_input",
        "file_input",
        "tools",
        "output_schema",
        "reasoning",
        "draw",
        "embed",
        "transcribe",
        "speak",
        "count_tokens",
    }
)
MANIFEST = Manifest(
    name="whole",
    interface=INTERFACE_VERSION,
    summary="a provider of the kit's tests",
    capabilities=cast("Any", CAPABILITIES),
    hosts=("whole.invalid",),
    secret="env:WHOLE_API_KEY",
    environment=("WHOLE_BASE_URL", "WHOLE_API_KEY"),
)
CARD = ModelCard(name="whole-1", context_tokens=100_000, capabilities=MANIFEST.capabilities)
_NEEDS = {"image": "draw", "embed": "embed", "transcribe": "transcribe", "speak": "speak"}


class Native:
    """What `plan` made: where to, as whom, and what."""

    def __init__(self, recipient: Recipient, body: dict[str, Any]) -> None:
        self.recipient = recipient
        self.body = body


class Whole(Provider):
    """Correct in every rule of the kit."""

    manifest: ClassVar[Manifest] = MANIFEST

    def __init__(self) -> None:
        self.context: ProviderContext | None = None
        self.running: set[httpx2.Response] = set()

    async def open(self, context: ProviderContext) -> None:
        if context.options:
            raise errors.InvalidRequest("whole has no options")
        self.context = context

    async def close(self) -> None:
        self.context = None
        for response in tuple(self.running):
            await response.aclose()

    async def models(self) -> Sequence[ModelCard]:
        return [CARD]

    async def availability(self, recipient: Recipient) -> Availability:
        if recipient.options:
            return NotAvailable(reason="not_configured", detail="whole has no options", way_out="remove them")
        secret = recipient.credential(self.manifest.secret)
        if secret is None or not secret.present():
            return NotAvailable(reason="not_configured", detail="there is no key", way_out="export WHOLE_API_KEY=…")
        return Available()

    async def card(self, recipient: Recipient) -> ModelCard:
        return replace(CARD, name=recipient.model)

    # ------------------------------------------------------------------ plan
    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        self.refuse(request, card)
        return Plan(request=request, card=card, native=Native(recipient, self.body(request, card)))

    def refuse(self, request: Request, card: ModelCard) -> None:
        need = _NEEDS.get(request.task, "text")
        if need not in card.capabilities:
            raise errors.Unsupported(f"the model cannot {need}", setting="task")
        parts = [part for message in request.messages for part in message.parts]
        calls = any(isinstance(part, ToolCallPart | ToolResultPart) for part in parts)
        for asked, capability in (
            (request.tools or calls, "tools"),
            (request.output, "output_schema"),
            (any(isinstance(part, ImagePart) for part in parts), "image_input"),
            (any(isinstance(part, FilePart) for part in parts) and need != "transcribe", "file_input"),
        ):
            if asked and capability not in card.capabilities:
                raise errors.Unsupported(f"the model has no {capability}", setting=capability)
        if request.provider_options:
            raise errors.Unsupported("whole has no options", setting="provider_options")

    def body(self, request: Request, card: ModelCard) -> dict[str, Any]:
        return {
            "model": card.name,
            "stream": request.stream,
            "task": request.task,
            "messages": [[m.role, *(_part(part) for part in m.parts)] for m in request.messages],
            "settings": self.settings(request),
            "tools": [[tool.name, tool.description, tool.parameters] for tool in request.tools],
            "choice": request.tool_choice,
            "output": None if request.output is None else request.output.schema,
        }

    def settings(self, request: Request) -> dict[str, Any]:
        given = {item.name: getattr(request.settings, item.name) for item in fields(request.settings)}
        return {name: value for name, value in given.items() if value not in (None, ())}

    # ------------------------------------------------------------------ run
    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        async with self.asked(plan, grant) as response:
            async for event in self.events(self.lines(response)):
                yield event

    @asynccontextmanager
    async def asked(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[httpx2.Response, None]:
        """The answer of the backend, once it has begun."""
        response: httpx2.Response | None = None
        begun = False
        native = cast("Native", plan.native)
        try:
            response = await self.send(native, plan, grant)
            self.running.add(response)
            if response.status_code != 200:
                raise self.refusal(response.status_code, response.headers, await response.aread())
            grant.connected = begun = True
            yield response
        except httpx2.HTTPError:
            raise self.broken(begun=begun) from None
        finally:
            if response is not None:
                self.running.discard(response)
                await response.aclose()

    async def send(self, native: Native, plan: Plan[object], grant: Grant) -> httpx2.Response:
        sending = grant.spend(plan.request)
        client = self.client(native.recipient)
        request = client.build_request(
            "POST", f"{native.recipient.url}/answer", json=native.body, headers=self.headers(native.recipient)
        )
        with sending:
            return await client.send(request, stream=True)

    def client(self, recipient: Recipient) -> httpx2.AsyncClient:
        if self.context is None:
            raise errors.Closed("the provider is closed")
        return self.context.http(recipient)

    def headers(self, recipient: Recipient) -> Mapping[str, str]:
        secret = recipient.credential(self.manifest.secret)
        return {} if secret is None else {"x-key": secret.read()}

    def broken(self, *, begun: bool) -> errors.RingfenceError:
        if self.context is None:
            return errors.Closed("the provider was closed")
        if begun:
            return errors.StreamBroken("the answer broke off", phase="before_first_event")
        return errors.ConnectFailed("the backend did not answer")

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ProviderError:
        del body
        wait_s = float(headers["retry-after"]) if "retry-after" in headers else None
        match status:
            case 401 | 403:
                return errors.AuthenticationFailed("the key was refused")
            case 429:
                return errors.RateLimited("too many requests", retry_after_s=wait_s)
            case _ if status >= 500:
                return errors.Overloaded("the backend is failing", retry_after_s=wait_s)
            case _:
                return errors.RequestRejected("the request was refused")

    # ------------------------------------------------------------------ what comes
    async def lines(self, response: httpx2.Response) -> AsyncIterator[str]:
        # Only a line feed ends a line: a text may hold other characters that look like an end.
        rest = b""
        async for piece in response.aiter_bytes():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")

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
        except (Cut, httpx2.HTTPError):
            if self.context is None:
                raise errors.Closed("the provider was closed") from None
            phase: errors.Phase = "mid_stream" if parts.given else "before_first_event"
            raise errors.StreamBroken("the answer broke off", phase=phase) from None
        except Failing:
            phase = "mid_stream" if parts.given else "before_first_event"
            raise errors.Overloaded("the backend failed while it answered", phase=phase) from None
        for event in parts.end():
            yield event

    # ------------------------------------------------------------------ beside answers
    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        async with self.asked(plan, grant) as response:
            said = [one async for line in self.lines(response) for one in parsed(line)]
        vectors = tuple(self.unit(one["vector"]) for one in said if "vector" in one)
        usage = next(one["usage"] for one in said if "usage" in one)
        return Embeddings(vectors=vectors, dimensions=len(vectors[0]), input_tokens=usage["input_tokens"])

    def unit(self, vector: Sequence[float]) -> tuple[float, ...]:
        norm = math.hypot(*vector)
        return tuple(value / norm for value in vector)

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        async with self.asked(plan, grant) as response:
            said = [one async for line in self.lines(response) for one in parsed(line)]
        return int(next(one["usage"]["input_tokens"] for one in said if "usage" in one))

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        if recipient.model != CARD.name or usage.output_tokens is None:
            return None
        return usage.output_tokens * 1e-6

    def utilisation(self, recipient: Recipient) -> float | None:
        return min(len(self.running) / 100, 1.0) if recipient.model == CARD.name else None


class Cut(Exception):
    """The answer ended before its end."""


class Failing(Exception):
    """The backend said that it failed."""


def parsed(line: str) -> list[dict[str, Any]]:
    """What one line says: a value, or, where the answer is whole, all of them."""
    try:
        value = json.loads(line)
    except ValueError:
        raise Cut from None
    values: list[dict[str, Any]] = cast("Any", value if isinstance(value, list) else [value])
    return values


class Parts:
    """From what the wire says to events."""

    def __init__(self) -> None:
        self.next = 0
        self.open: list[str] = []
        self.given = False
        self.finish: Finish | None = None

    def events(self, said: dict[str, Any]) -> list[ProviderEvent]:
        found = list(self._events(said))
        self.given = self.given or bool(found)
        return found

    def _events(self, said: dict[str, Any]) -> list[ProviderEvent]:  # noqa: PLR0911  (one for each word of the wire)
        match said:
            case {"text": text}:
                return [*self._begin("text"), TextDelta(self.next - 1, text)]
            case {"reasoning": text}:
                return [*self._begin("reasoning"), ReasoningDelta(self.next - 1, text)]
            case {"call": [name, call_id]}:
                ended = self._end()
                self.open.append("call")
                self.next += 1
                return [*ended, ToolCallStart(self.next - 1, call_id, name)]
            case {"arguments": text}:
                return [ToolCallDelta(self.next - 1, text)]
            case {"media": [media_type, data]}:
                ended = self._end()
                self.next += 1
                raw = base64.b64decode(data)
                kind = ImagePart if media_type.startswith("image/") else FilePart
                return [*ended, Media(self.next - 1, kind(raw, media_type=media_type))]
            case {"usage": usage}:
                return [UsageReport(usage=Usage(**usage))]
            case {"end": raw}:
                self.finish = Finish(raw.removeprefix("because-"), raw)
                return []
            case {"failing": _}:
                raise Failing
            case _:
                return []

    def end(self) -> list[ProviderEvent]:
        assert self.finish is not None
        return [*self._end(), self.finish]

    def _begin(self, kind: str) -> list[ProviderEvent]:
        if self.open == [kind]:
            return []
        ended = self._end()
        self.open.append(kind)
        self.next += 1
        return [*ended, TextStart(self.next - 1) if kind == "text" else ReasoningStart(self.next - 1)]

    def _end(self) -> list[ProviderEvent]:
        if not self.open:
            return []
        match self.open.pop():
            case "text":
                return [TextEnd(self.next - 1)]
            case "reasoning":
                return [ReasoningEnd(self.next - 1, state="whole-state-aa17")]
            case _:
                return [ToolCallEnd(self.next - 1)]


def _part(part: Part) -> list[Any]:
    match part:
        case TextPart(text=text):
            return ["text", text]
        case ImagePart() | FilePart():
            return ["data", part.media_type, base64.b64encode(part.data).decode()]
        case ToolCallPart():
            return ["call", part.id, part.name, part.arguments]
        case ToolResultPart():
            return ["result", part.call_id, part.text, part.is_error]
        case ReasoningPart():
            return ["reasoning", part.text, part.state]
