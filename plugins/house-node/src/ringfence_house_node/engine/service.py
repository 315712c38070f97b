"""The `Service` of a node: one engine that is watched, and the API in front of it."""

from __future__ import annotations

from ringfence import AsyncAssistant, Settings
from ringfence_house_node.api.answering import Api, error_answer
from ringfence_house_node.api.faults import not_ready
from ringfence_house_node.engine.assistant import ENGINE
from ringfence_house_node.engine.limits import limits_of
from ringfence_house_node.engine.settings import EngineSettings
from ringfence_house_node.engine.watch import Watch
from ringfence_house_node.service import Answer, Call, Readiness

_PROBE = "Hello"
_LOOK_EVERY_S = 1.0
"""At our own worker: to look whether it lives costs no token."""


class EngineService:
    """Answers calls by `assistant`, while the engine of `settings` is proven to be alive."""

    def __init__(self, settings: EngineSettings, assistant: AsyncAssistant) -> None:
        self._assistant = assistant
        self._limits = limits_of(settings)
        ours = settings.kind == "mlx"
        self._watch = Watch(
            self._prewarm if ours else self._ask,
            command=settings.command,
            starts=ours,
            start_timeout_s=settings.start_timeout_s,
            probe_every_s=min(settings.probe_every_s, _LOOK_EVERY_S) if ours else settings.probe_every_s,
            probe_timeout_s=settings.probe_timeout_s,
        )
        self._api = Api(
            assistant=assistant,
            model=settings.model,
            limits=self._limits,
            of_a_server=not ours,
            alive=self._watch.alive,
            failed=self._watch.failed,
        )

    async def start(self) -> None:
        """Starts what computes and keeps it alive from now on. Returns when a first try was made."""
        await self._watch.start()

    async def close(self) -> None:
        """Ends everything, child processes too. Idempotent."""
        await self._watch.close()
        await self._assistant.close()

    @property
    def readiness(self) -> Readiness:
        """`ready` only after one real token came from the engine that is alive now."""
        return self._watch.readiness

    @property
    def cause(self) -> str | None:
        """Why it is not ready, in a word that holds no content; `None` where that is not known."""
        cause = self._watch.cause
        return cause.word if cause is not None else None

    async def respond(self, call: Call) -> Answer:
        """Answers. Never raises for what the caller did."""
        if self.readiness != "ready":
            return error_answer(not_ready())
        return await self._api.respond(call)

    async def _prewarm(self) -> None:
        """Our own worker is ready when it has made a token; one that lives is."""
        await self._assistant.prewarm(ENGINE)

    async def _ask(self) -> None:
        """A server has no other proof than a token."""
        can = self._limits.capabilities
        if can is not None and "text" not in can:
            await self._assistant.embed(_PROBE)
        else:
            await self._assistant.respond(_PROBE, settings=Settings(max_output_tokens=1))


__all__ = ["EngineService"]
