"""One answer on its way to the terminal, as text or as JSON.

Drawing and writing stand in the main thread and the work in another, so a reader that is slow holds up nothing but
itself, and Ctrl-C finds us wherever we wait.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from ringfence.cli import terminal
from ringfence.cli.documents import event_document, response_document
from ringfence.cli.interrupts import Interrupted
from ringfence.cli.media import hints_of, media_of
from ringfence.cli.passed_over import passed_over
from ringfence.cli.receipt_line import hints, receipt_line, seconds
from ringfence.errors import AuditError, ConsentRefused
from ringfence.provider import Embeddings
from ringfence.response import Event, Joined, Response, TextDelta

if TYPE_CHECKING:
    from ringfence.assistant import Stream
    from ringfence.cli.consent import ConsentPrompt
    from ringfence.cli.media import Out
    from ringfence.policy import Policy

_ERASE_SIGN = "\r \r"
"""No escape sequence, since those are left out where colour is not wanted."""


class Printer(Protocol):
    """Takes the events of one answer, then its end."""

    def begin(self) -> None:
        """Nothing has come yet."""
        ...

    def pause(self) -> None:
        """A person is asked something; what was drawn stays readable."""
        ...

    def resume(self) -> None:
        """They have answered."""
        ...

    def event(self, event: Event) -> None:
        """The next event."""
        ...

    def done(self, response: Response[Any]) -> None:
        """The answer is complete."""
        ...

    def broken(self) -> None:
        """No more will come, and the answer is not complete."""
        ...

    def cancelled(self, policy: str) -> None:
        """As `broken`, since a person wanted it."""
        ...


class TextPrinter:
    """The text on stdout; hints and the receipt line on stderr.

    What is held comes in one piece at the end: where the caller does not stream, and where an answer might begin
    again, which a pipe could not take back.
    """

    def __init__(self, policy: Policy, *, hold: bool, out: Out | None = None) -> None:
        self._policy = policy
        self._hold = hold
        self._out = out
        self._on_screen = terminal.is_terminal(sys.stdout)
        self._waiting = False
        self._last = "\n"
        self._began_s = time.monotonic()

    def begin(self) -> None:
        """Shows on a terminal that something is under way."""
        self._began_s = time.monotonic()
        self.resume()

    def pause(self) -> None:
        """Ends the line."""
        self._came()
        self._end_line()

    def resume(self) -> None:
        """Shows again that something is under way."""
        self._waiting = self._on_screen and terminal.is_terminal(sys.stderr)
        if self._waiting:
            terminal.say("…", newline=False, dim=True)

    def event(self, event: Event) -> None:
        """Writes text as it comes."""
        self._came()
        if self._hold:
            return
        if type(event) is TextDelta:
            self._write(event.text)
        elif isinstance(event, Joined) and event.how == "restart":
            self._end_line()
            terminal.say(f"the stream from {event.broken} broke; {event.recipient} begins again:", dim=True)

    def done(self, response: Response[Any]) -> None:
        """Writes what was held, then the hints and the receipt line."""
        self._came()
        if isinstance(response.output, Embeddings):
            for vector in response.output.vectors:
                terminal.write_json(vector)
        elif self._hold:
            self._write(response.text)
        self._end_line()
        told = [*self._save(response), *hints(response)]
        receipt, broken = response.receipt, [join.broken for join in response.joins]
        for hint in (*told, *passed_over(receipt, self._policy, told=broken)):
            terminal.say(terminal.harmless(hint), fg="yellow")
        terminal.say(receipt_line(receipt), dim=True)

    def _save(self, response: Response[Any]) -> list[str]:
        """Writes pictures and sounds and says where they are; returns what else a person should know of them."""
        parts = media_of(response)
        paths = [] if self._out is None else self._out.save(parts)
        for path in paths:
            terminal.write(f"{path}\n")
        return list(hints_of(parts, paths))

    def broken(self) -> None:
        """Ends the line, so that what was printed stays readable."""
        self._came()
        self._end_line()

    def cancelled(self, policy: str) -> None:
        """Says in the receipt's place that the answer was cancelled."""
        self.broken()
        took = seconds(time.monotonic() - self._began_s)
        terminal.say(f"cancelled · {took} · policy {policy}", dim=True)

    def _came(self) -> None:
        if self._waiting:
            self._waiting = False
            terminal.say(_ERASE_SIGN, newline=False)

    def _write(self, text: str) -> None:
        shown = terminal.harmless(text) if self._on_screen else text
        if shown:
            terminal.write(shown)
            self._last = shown[-1]

    def _end_line(self) -> None:
        if self._last != "\n":
            self._last = "\n"
            terminal.write("\n")


class JsonPrinter:
    """One event a line and `{"type": "response", …}` last; without streaming one document."""

    def __init__(self, *, stream: bool, out: Out | None = None) -> None:
        self._stream = stream
        self._out = out

    def begin(self) -> None:
        """Nothing to say."""

    def pause(self) -> None:
        """Nothing to end: every line is whole."""

    def resume(self) -> None:
        """Nothing to say."""

    def event(self, event: Event) -> None:
        """One line."""
        if self._stream:
            terminal.write_json(event_document(event))

    def done(self, response: Response[Any]) -> None:
        """The whole answer."""
        files = None if self._out is None else self._out.save(media_of(response))
        # Where events were printed, the media were among them.
        document = response_document(response, media=not self._stream, files=files)
        if self._stream:
            terminal.write_json({"type": "response", **document})
        else:
            terminal.write_json(document, indent=2)

    def broken(self) -> None:
        """Nothing to say: the error is a document of its own."""

    def cancelled(self, policy: str) -> None:
        """Nothing to say: the exit code tells."""


def printer_for(policy: Policy, *, as_json: bool, stream: bool, out: Out | None = None) -> Printer:
    """The printer of one answer under `policy`; pictures and sounds go to `out`."""
    if as_json:
        return JsonPrinter(stream=stream, out=out)
    may_restart = any(route.on_broken_stream == "restart" for route in policy.document.route)
    return TextPrinter(policy, hold=not stream or (may_restart and not terminal.is_terminal(sys.stdout)), out=out)


def show_answer(stream: Stream[Any], printer: Printer, policy: str, consent: ConsentPrompt) -> Response[Any]:
    """Draws `stream` to its end through `printer`. However this ends, nothing of the request still runs.

    A person who is asked for consent meanwhile is asked between two events.

    Raises:
        RingfenceError: what ended the stream.
        Interrupted: a signal did.
    """
    printer.begin()
    try:
        with consent.answering(printer), stream:
            for event in stream:
                with consent.display:
                    printer.event(event)
            response = stream.response()
        printer.done(response)
    except ConsentRefused as error:
        printer.broken()
        if consent.unasked and error.way_out is None:
            error.way_out = " ".join(f"--consent {name}" for name in dict.fromkeys(consent.unasked))
        raise
    except Interrupted as interrupt:
        if interrupt.number == signal.SIGINT:
            printer.cancelled(policy)
        else:
            printer.broken()
        raise
    except AuditError as error:
        # The answer came before the fault of the record, and nothing of it is lost.
        if error.response is not None:
            printer.done(error.response)
        raise
    except terminal.ClosedPipe:
        raise
    except BaseException:
        printer.broken()
        raise
    return response


__all__ = ["JsonPrinter", "Printer", "TextPrinter", "printer_for", "show_answer"]
