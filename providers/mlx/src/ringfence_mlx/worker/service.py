"""The worker's main loop: frames in, the engine's steps, frames out. It runs on the one thread that owns MLX."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ringfence_mlx.sandbox import forbid_files
from ringfence_mlx.worker.job import Job, JobFault
from ringfence_mlx.worker.places import describe

if TYPE_CHECKING:
    from ringfence_mlx.sandbox import NetworkState
    from ringfence_mlx.wire import Frame
    from ringfence_mlx.worker.channel import Channel
    from ringfence_mlx.worker.engine import Engine


_GATHER_S = 0.01
"""What the first request of a resting worker waits for others: a hundredth of a short prompt's time."""


class Pulse:
    """When the engine's thread last showed a sign of life; read by another thread, which a float allows."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def beat(self) -> None:
        """Something is being worked on, as of now."""
        self._since = time.monotonic()

    def rest(self) -> None:
        """Nothing is under way."""
        self._since = None

    def busy_s(self) -> float:
        """Seconds since the last beat; 0 at rest."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


class Service:
    """One worker's life after its start frame."""

    def __init__(self, channel: Channel, pulse: Pulse, network: NetworkState) -> None:
        self._channel = channel
        self._pulse = pulse
        self._network = network
        self._backlog: list[Frame] = []

    def run(self) -> NoReturn:
        """Waits for the start frame, loads, says ready, and serves until the app closes the pipe."""
        start, *self._backlog = self._channel.receive(wait=True)
        self._pulse.beat()
        try:
            serve = self._prepare(start)
        except JobFault as fault:
            self._channel.send([fault.frame()])
            self._channel.exit()
        except ImportError as error:
            missing = (error.name or "mlx").partition(".")[0]
            self._channel.send([JobFault("no_package", f"the package {missing} cannot be imported").frame()])
            self._channel.exit()
        serve()
        self._channel.exit()

    def _prepare(self, start: Frame) -> Callable[[], None]:
        match start.get("mode"):
            case "generate":
                return self._prepare_engine(start)
            case "tokenizer":
                return self._prepare_tokenizer(start)
            case "embed":
                return self._prepare_embedding(start)
            case _:
                raise JobFault("rejected", "the start frame is malformed")

    def _prepare_engine(self, start: Frame) -> Callable[[], None]:
        began = time.monotonic()
        # These import MLX: a worker that only counts tokens, and one whose package is broken, must get this far.
        from ringfence_mlx.worker.engine import Engine, Limits  # noqa: PLC0415
        from ringfence_mlx.worker.loader import load_model  # noqa: PLC0415

        loaded = load_model(Path(start["folder"]), start.get("context_tokens"))
        engine = Engine(
            loaded,
            Limits(**start["limits"]),
            emit=self._channel.send,
            pulse=self._pulse.beat,
            cancelled=self._cancelled,
        )
        engine.warm_up()
        self._ready(
            {
                "load_s": time.monotonic() - began,
                "context_tokens": loaded.context_tokens,
                "vocabulary": loaded.vocabulary,
                **engine.facts,
            }
        )
        return lambda: self._serve_engine(engine)

    def _serve_engine(self, engine: Engine) -> None:
        for frames in self._batches(lambda: not engine.busy):
            for frame in frames:
                match frame.get("op"):
                    case "generate":
                        with self._faults(frame):
                            engine.submit(Job.from_frame(int(frame["id"]), frame["job"]))
                    case "count":
                        with self._faults(frame):
                            self._reply(frame, {"ev": "count", "tokens": engine.count(Job.from_frame(0, frame["job"]))})
                    case "cancel":
                        engine.cancel(int(frame["id"]))
                    case "stats":
                        self._reply(frame, {"ev": "stats", **engine.facts})
                    case _:
                        self._refuse(frame)
            if engine.busy:
                engine.step()

    def _cancelled(self) -> set[int]:
        """The requests whose cancelling has come in the middle of a step; all that came is handled after it."""
        self._backlog += self._channel.receive(wait=False)
        return {int(frame["id"]) for frame in self._backlog if frame.get("op") == "cancel"}

    def _prepare_tokenizer(self, start: Frame) -> Callable[[], None]:
        from ringfence_mlx.worker.counting import TokenCounter  # noqa: PLC0415  (imports the tokenizer's packages)

        counter = TokenCounter.load(Path(start["folder"]))
        self._ready({})

        def count(frame: Frame) -> dict[str, Any]:
            if "texts" in frame:
                return {"tokens": counter.count_texts(frame["texts"])}
            return {"tokens": counter.count(Job.from_frame(0, frame["job"]))}

        return lambda: self._serve_each("count", count)

    def _prepare_embedding(self, start: Frame) -> Callable[[], None]:
        from ringfence_mlx.worker.embedding import EmbeddingError, EmbeddingModel, TextTooLong  # noqa: PLC0415  (MLX)

        try:
            model = EmbeddingModel.load(Path(start["folder"]))
            model.embed(["ready"])
        except EmbeddingError as error:
            raise JobFault("no_model", str(error)) from None
        self._ready({"dimensions": model.dimensions, "context_tokens": model.context_tokens})

        def embed(frame: Frame) -> dict[str, Any]:
            try:
                vectors, input_tokens = model.embed(list(frame["texts"]))
            except TextTooLong as error:
                needed, context = error.needed_tokens, error.context_tokens
                raise JobFault("context_length", str(error), needed_tokens=needed, context_tokens=context) from None
            except EmbeddingError as error:
                raise JobFault("rejected", str(error)) from None
            return {"vectors": vectors, "input_tokens": input_tokens}

        return lambda: self._serve_each("embed", embed)

    def _serve_each(self, op: str, answer: Callable[[Frame], dict[str, Any]]) -> None:
        for frames in self._batches(lambda: True):
            for frame in frames:
                if frame.get("op") == op:
                    with self._faults(frame):
                        self._reply(frame, {"ev": op, **answer(frame)})
                elif frame.get("op") != "cancel":
                    self._refuse(frame)

    def _batches(self, idle: Callable[[], bool]) -> Generator[list[Frame]]:
        """Frames as they come, in order; ends with the frame `close`."""
        frames, self._backlog = self._backlog, []
        while True:
            if any(frame.get("op") == "close" for frame in frames):
                return
            self._pulse.beat()
            yield frames
            resting = idle() and not self._backlog
            if resting:
                self._pulse.rest()
            frames, self._backlog = [*self._backlog, *self._channel.receive(wait=resting)], []
            if resting:
                # Requests made at once arrive a moment apart; begun together, their prompts share every step.
                time.sleep(_GATHER_S)
                frames += self._channel.receive(wait=False)

    @contextmanager
    def _faults(self, frame: Frame) -> Generator[None]:
        """Turns what a job does wrong into its fault; the worker goes on."""
        try:
            yield
        except JobFault as fault:
            self._reply(frame, fault.frame())
        except Exception as error:  # noqa: BLE001  (one job must not end the others)
            self._reply(frame, JobFault("engine", f"the engine failed ({describe(error)})").frame())

    def _refuse(self, frame: Frame) -> None:
        self._reply(frame, JobFault("rejected", "this worker does not know the operation").frame())

    def _reply(self, frame: Frame, body: dict[str, Any]) -> None:
        self._channel.send([{"id": frame.get("id", 0), **body}])

    def _ready(self, facts: dict[str, Any]) -> None:
        forbid_files()
        self._channel.send([{"ev": "ready", "network": self._network, **facts}])


__all__ = ["Pulse", "Service"]
