"""Asking a person at the terminal whether a request may go somewhere (within one answer of `ask` or `chat`).

The question comes in a worker's thread while the main thread draws; `display` keeps the two apart. A person who does
not answer holds up nothing but the question: Ctrl-C ends it, and no answer is a no.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from ringfence.cli import terminal
from ringfence.cli.preview import escaped, first_of, quoted
from ringfence.privacy.consent import ONCE

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.privacy.consent import Answer, ConsentRequest

_LOOK_S = 0.1
"""How soon a question ends after its answer was cancelled."""


class Display(Protocol):
    """What a question interrupts."""

    def pause(self) -> None:
        """Leaves an empty line for the question."""
        ...

    def resume(self) -> None:
        """Goes on."""
        ...


class ConsentPrompt:
    """The consent callback of the command line: `given` beforehand, else asked at the terminal, else no.

    `unasked` names the recipients that nobody could be asked about.
    """

    def __init__(self, policy: Policy, given: Sequence[str] = ()) -> None:
        self._policy = policy
        self._given = frozenset(given)
        self._over = threading.Event()
        self._over.set()
        self._one_at_a_time = threading.Lock()
        self._shown: Display | None = None
        self.display = threading.Lock()
        """Held while an event is drawn, and while a person is asked."""
        self.unasked: list[str] = []

    @contextmanager
    def answering(self, shown: Display) -> Generator[None]:
        """Within it, questions about one answer may be asked; afterwards one that was not answered is a no."""
        self._shown = shown
        self.unasked = []
        self._over.clear()
        try:
            yield
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Ends a question that is being asked, and answers later ones with no."""
        self._over.set()
        # Its last line is written before whoever ended it goes on.
        if self._one_at_a_time.acquire(timeout=1.0):
            self._one_at_a_time.release()

    def __call__(self, asked: ConsentRequest) -> Answer:
        """Whether a person says yes. Runs in a worker's thread."""
        if self._covered(asked) <= self._given:
            # Whoever wrote it beforehand was not told that the policy keeps a yes for longer.
            return ONCE
        with self._one_at_a_time:
            if self._over.is_set():
                return False
            keys = _keyboard()
            if keys is None:
                self.unasked.append(asked.recipient)
                return False
            try:
                with self.display:
                    return self._ask(asked, keys)
            finally:
                os.close(keys)

    def _covered(self, asked: ConsentRequest) -> frozenset[str]:
        # INVARIANT: what was typed beforehand never covers a recipient that was not named, whatever a yes is for.
        if asked.per != "ring":
            return frozenset({asked.recipient})
        return frozenset(name for name, one in self._policy.recipients.items() if one.ring == asked.ring)

    def _ask(self, asked: ConsentRequest, keys: int) -> bool:
        assert self._shown is not None  # noqa: S101  (answering() set it)
        self._shown.pause()
        preview = escaped(asked.preview) if "preview" in asked.show else None
        for line in question(asked, preview):
            terminal.say(line)
        more = preview is not None and first_of(preview)[1] > 0
        while True:
            # A line that was typed or pasted before the question is no answer to it.
            _forget_typed(keys)
            terminal.say(f"send it? [y/N{'/v' if more else ''}] ", newline=False, bold=True)
            answer = self._answer(keys)
            if not (more and answer == "v"):
                break
            terminal.say(_quoted(preview or ""))
            more = False
        if self._over.is_set():
            terminal.say("")
        else:
            self._shown.resume()
        return answer in {"y", "yes"}

    def _answer(self, keys: int) -> str:
        """What is typed, in lower case; "" at the end of input or of the answer."""
        while not self._over.is_set():
            if select.select([keys], [], [], _LOOK_S)[0]:
                try:
                    typed = os.read(keys, 1024)
                except OSError:
                    return ""
                return typed.decode(errors="replace").strip().casefold()
        return ""


def question(asked: ConsentRequest, preview: str | None) -> Iterator[str]:
    """The lines of the question; `preview` is what would be sent, made harmless, or `None` where it is not shown."""
    yield terminal.styled(f"recipient '{asked.recipient}' needs your consent", bold=True, fg="yellow")
    where = asked.host or f"the hosts of {asked.provider} itself"
    yield f"  where    {terminal.styled(asked.ring, fg=terminal.RING_STYLES[asked.ring])} · {where}"
    yield escaped(f"  model    {asked.provider}/{asked.model}")
    yield escaped(f"  task     {asked.task}")
    yield escaped(f"  labels   {', '.join(asked.labels) or 'none'}")
    if asked.per == "ring":
        yield f"  a yes counts for every recipient on ring {asked.ring}"
    if asked.lasts == "session":
        yield "  a yes counts for this conversation, for this task and these labels"
    elif isinstance(asked.lasts, int):
        yield f"  a yes counts for {span(asked.lasts)}, for this task and these labels"
        yield "  'ringfence consent revoke' takes it back"
    if preview is None:
        return
    shown, left = first_of(preview)
    yield "exactly what would be sent:"
    yield _quoted(shown)
    if left:
        yield terminal.styled(f"… {left:,} more characters; v shows all", dim=True)


def span(seconds: int) -> str:
    """A span of time in words, such as `30 days`; in its largest unit that fits exactly."""
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    unit, length = next((unit, length) for unit, length in units if seconds % length == 0)
    count = seconds // length
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def _quoted(text: str) -> str:
    import shutil  # noqa: PLC0415  (only a question needs it)

    return quoted(text, shutil.get_terminal_size().columns)


def _keyboard() -> int | None:
    """A descriptor to read a person's keys from; `None` where there is no person who sees stderr and can type."""
    if not terminal.is_terminal(sys.stderr):
        return None
    with suppress(OSError):
        return os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    if terminal.is_terminal(sys.stdin):
        with suppress(OSError, ValueError):
            return os.dup(sys.stdin.fileno())
    return None


def _forget_typed(keys: int) -> None:
    import termios  # noqa: PLC0415  (only where there is a terminal)

    with suppress(termios.error):
        termios.tcflush(keys, termios.TCIFLUSH)


__all__ = ["ConsentPrompt", "Display", "question"]
