"""The app's end of one worker process: start, frames out and in, calls side by side, a watch, the end.

Plain descriptors on the event loop rather than asyncio's subprocess transports: a transport that a forked child
garbage-collects would close the loop's registration of the parent, which shares the selector with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ringfence_mlx.sandbox import command_prefix
from ringfence_mlx.wire import Frame, FrameDecoder, FrameError, pack

Mode: TypeAlias = Literal["generate", "embed", "tokenizer"]

_READ_BYTES = 1 << 18
_PING_EVERY_S = 2.0
_MOST_UNSENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a worker is started with. `limits` are those of `worker.engine.Limits`; `environment` is all it sees."""

    mode: Mode
    folder: Path
    environment: Mapping[str, str]
    context_tokens: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    start_timeout_s: float = 300.0
    hang_timeout_s: float = 60.0

    def start_frame(self) -> Frame:
        """The first frame of a worker's life."""
        return {
            "op": "start",
            "mode": self.mode,
            "folder": str(self.folder),
            "context_tokens": self.context_tokens,
            "limits": dict(self.limits),
        }


class WorkerDied(Exception):
    """The process is gone. `how` says how, in words free of content."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class WorkerFault(Exception):
    """The worker refused or failed one call; it goes on. The frame is that of `worker.job.JobFault`."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(str(frame.get("kind")))
        self.kind = str(frame.get("kind"))
        self.message = str(frame.get("message"))
        self.frame = frame


_Item: TypeAlias = "Frame | WorkerDied"


class WorkerProcess:
    """One running worker. Used from the event loop that started it."""

    def __init__(self, process: subprocess.Popen[bytes], spec: WorkerSpec, on_death: Callable[[], None]) -> None:
        self._process = process
        self._spec = spec
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._owner_pid = os.getpid()
        assert process.stdin is not None  # noqa: S101  (both are pipes: `start` made them so)
        assert process.stdout is not None  # noqa: S101
        self._write_fd = process.stdin.fileno()
        self._read_fd = process.stdout.fileno()
        self._decoder = FrameDecoder()
        self._unsent = bytearray()
        self._calls: dict[int, asyncio.Queue[_Item]] = {0: asyncio.Queue()}
        self._last_call = 0
        self._death: WorkerDied | None = None
        self._crash: str | None = None
        self._pong = asyncio.Event()
        self._busy_s = 0.0
        self._watch: asyncio.Task[None] | None = None
        self.facts: Frame = {}

    @classmethod
    async def start(cls, spec: WorkerSpec, on_death: Callable[[], None]) -> WorkerProcess:
        """A worker that has loaded its model and made a token of it.

        Raises:
            WorkerFault: it cannot load.
            WorkerDied: it ended, or was not ready in time.
        """
        prefix = command_prefix()
        # -P: the folder the app happens to stand in is no place to import from.
        command = [*prefix, sys.executable, "-P", "-m", "ringfence_mlx.worker", *(["--sandboxed"] if prefix else [])]
        try:
            process = subprocess.Popen(  # noqa: ASYNC220, S603  (a fork of a millisecond; the command is our own)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a library may print what it was given
                env=dict(spec.environment),
                start_new_session=True,  # Ctrl-C in the terminal is for the app
                bufsize=0,
            )
        except OSError as error:
            on_death()
            raise WorkerDied(f"not started: {(error.strerror or 'unknown').lower()}") from None
        worker = cls(process, spec, on_death)
        try:
            worker._attach()
            await worker._until_ready()
        except BaseException:
            await worker.kill("it was not started to the end")
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return self._death is None

    @property
    def active_calls(self) -> int:
        """Calls under way."""
        return len(self._calls) - (0 in self._calls)

    async def call(self, op: str, body: Mapping[str, Any], last: frozenset[str]) -> AsyncGenerator[Frame, None]:
        """Sends one call and yields its frames up to the one whose `ev` is in `last`. Closing it early cancels.

        Raises:
            WorkerFault: the worker refused or failed this call.
            WorkerDied: the process is gone.
            FrameError: the call is too long for a frame.
        """
        if self._death is not None:
            raise self._death
        self._last_call += 1
        number = self._last_call
        queue: asyncio.Queue[_Item] = asyncio.Queue()
        data = pack({"op": op, "id": number, **body})
        self._calls[number] = queue
        finished = False
        try:
            self._send(data)
            self._ensure_watch()
            while not finished:
                item = await queue.get()
                if isinstance(item, WorkerDied):
                    raise item
                event = item.get("ev")
                finished = event in last or event == "fault"
                if event == "fault":
                    raise WorkerFault(item)
                yield item
        finally:
            self._calls.pop(number, None)
            if not finished and self.alive and os.getpid() == self._owner_pid:
                self._send(pack({"op": "cancel", "id": number}))

    async def kill(self, how: str) -> None:
        """Ends the process now; calls under way get `WorkerDied`. In a forked child it touches nothing."""
        if os.getpid() != self._owner_pid:
            return
        self._process.kill()
        self._detach(WorkerDied(how), deliberate=True)
        # Freeing the memory of a large model can take a while, and the loop has others to serve.
        await asyncio.to_thread(self._process.wait)

    async def close(self, grace_s: float = 1.0) -> None:
        """Asks the process to end and waits for it; after `grace_s` it is killed."""
        if os.getpid() != self._owner_pid or self._process.returncode is not None:
            return
        with contextlib.suppress(OSError, FrameError):
            self._send(pack({"op": "close"}))
        self._detach(WorkerDied("it was closed"), deliberate=True)
        try:
            await asyncio.to_thread(self._process.wait, grace_s)
        except subprocess.TimeoutExpired:
            await self.kill("it was closed")

    # ------------------------------------------------------------ the pipe

    def _attach(self) -> None:
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._loop.add_reader(self._read_fd, self._readable)
        self._send(pack(self._spec.start_frame()))

    def _detach(self, death: WorkerDied, *, deliberate: bool = False) -> None:
        """Ends every call with `death`, and reports it unless it was wanted. Idempotent."""
        if self._death is not None:
            return
        self._death = death
        self._loop.remove_reader(self._read_fd)
        self._loop.remove_writer(self._write_fd)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._unsent.clear()
        if self._watch is not None:
            self._watch.cancel()
        for queue in self._calls.values():
            queue.put_nowait(death)
        if not deliberate:
            self._on_death()

    def _readable(self) -> None:
        try:
            data = os.read(self._read_fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
            return
        try:
            for frame in self._decoder.feed(data):
                self._dispatch(frame)
        except FrameError:
            self._process.kill()
            self._detach(WorkerDied("it broke the protocol"))
            self._reap_soon()

    def _ended(self) -> None:
        """The pipe ended, so the process did or is about to."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.05)
        self._detach(WorkerDied(self._last_words()))
        self._reap_soon()

    def _reap_soon(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._loop.run_in_executor(None, self._process.wait)

    def _last_words(self) -> str:
        code = self._process.returncode
        if code is not None and code < 0:
            return f"signal {-code}"
        return self._crash or f"exit code {code}"

    def _dispatch(self, frame: Frame) -> None:
        match frame.get("ev"):
            case "pong":
                self._busy_s = float(frame.get("busy_s", 0.0))
                self._pong.set()
            case "crash":
                self._crash = f"{frame.get('error')} at {frame.get('place')}"
            case _:
                if (queue := self._calls.get(frame.get("id", 0))) is not None:
                    queue.put_nowait(frame)

    def _send(self, data: bytes) -> None:
        if self._death is not None:
            return  # the descriptor may be somebody else's by now
        if len(self._unsent) + len(data) > _MOST_UNSENT_BYTES:
            raise FrameError("the worker does not read")
        if not self._unsent:
            try:
                data = data[os.write(self._write_fd, data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # the end of the process arrives on the other pipe
        if data:
            self._unsent += data
            self._loop.add_writer(self._write_fd, self._writable)

    def _writable(self) -> None:
        try:
            del self._unsent[: os.write(self._write_fd, self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        if not self._unsent:
            self._loop.remove_writer(self._write_fd)

    # ------------------------------------------------------------ life

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(self._spec.start_timeout_s):
                frame = await self._calls[0].get()
        except TimeoutError:
            self._process.kill()
            self._detach(WorkerDied(f"not ready after {self._spec.start_timeout_s:.0f} s"))
            frame = self._calls[0].get_nowait()
        del self._calls[0]
        if isinstance(frame, WorkerDied):
            raise frame
        if frame.get("ev") == "fault":
            raise WorkerFault(frame)
        self.facts = frame

    def _ensure_watch(self) -> None:
        if self._watch is None or self._watch.done():
            self._watch = self._loop.create_task(self._keep_watch(), name="ringfence-mlx-watch")

    async def _keep_watch(self) -> None:
        """While calls are under way, asks for a sign of life; a worker that shows none is killed."""
        limit_s = self._spec.hang_timeout_s
        while self.active_calls:
            self._pong.clear()
            self._send(pack({"op": "ping"}))
            try:
                async with asyncio.timeout(limit_s):
                    await self._pong.wait()
            except TimeoutError:
                self._hung()
                return
            if self._busy_s > limit_s:
                self._hung()
                return
            await asyncio.sleep(min(_PING_EVERY_S, limit_s / 2))

    def _hung(self) -> None:
        self._watch = None  # it is the watch that ends here
        self._process.kill()
        self._detach(WorkerDied(f"no progress for {self._spec.hang_timeout_s:.0f} s"))
        self._reap_soon()


__all__ = ["Mode", "WorkerDied", "WorkerFault", "WorkerProcess", "WorkerSpec"]
