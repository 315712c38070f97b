"""What a failed command prints and exits with."""

from __future__ import annotations

from typing import Any

import click

from ringfence.cli import terminal
from ringfence.errors import Denied, InvalidRequest, PolicyInvalid, PolicyNotReadable, RingfenceError

DONE = 0
REFUSED = 1
WRONG_USAGE = 2
CLOSED_PIPE = 141
"""128 + SIGPIPE, which a shell shows of any program that wrote into a closed pipe."""

JSON = "ringfence.json"
"""Set in a click context's `meta` where the command was asked for JSON."""


class Misuse(InvalidRequest):
    """The command line names something that is not there, or asks for what cannot be."""


def exit_code_of(error: RingfenceError) -> int:
    """2 where the command line is at fault: its options, its names, a file it names that is not there; else 1."""
    return WRONG_USAGE if isinstance(error, InvalidRequest | PolicyNotReadable) else REFUSED


def report(error: RingfenceError, *, as_json: bool) -> None:
    """Says what went wrong: one JSON document on stdout, or lines for people on stderr."""
    if as_json:
        terminal.write_json(error_document(error))
    else:
        show_error(error)


def show_error(error: RingfenceError) -> None:
    """Prints `error: …` and `try: …` to stderr; every fault of a policy file, every refusal of a decision, between."""
    terminal.say(f"{terminal.styled('error:', fg='red', bold=True)} {terminal.harmless(error.message)}")
    if isinstance(error, PolicyInvalid):
        for fault in error.faults:
            terminal.say(terminal.harmless(fault))
    if isinstance(error, Denied):
        for name, verdict in error.decision.recipients.items():
            terminal.say(f"  {name} ({verdict.ring}): {terminal.harmless(verdict.reason)}")
    if error.way_out:
        terminal.say(f"{terminal.styled('try:', bold=True)} {terminal.harmless(error.way_out)}")
    if error.receipt is not None and error.receipt.recipient is not None:
        from ringfence.cli.receipt_line import receipt_line  # noqa: PLC0415  (only a request that was tried has one)

        terminal.say(receipt_line(error.receipt), dim=True)


def report_usage_error(error: click.UsageError, *, as_json: bool) -> None:
    """Says what is wrong with the command line, and where help is; the help itself where nothing was asked."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        terminal.say(error.format_message())
        return
    # Some have a list below one another, with tabs.
    message = " ".join(error.format_message().split())
    command = error.ctx.command_path if error.ctx is not None else "ringfence"
    shown = f"{message[:1].lower()}{message[1:].rstrip('.')}"
    report(Misuse(shown, way_out=f"{command} --help"), as_json=as_json)


def error_document(error: RingfenceError) -> dict[str, Any]:
    """`{"error": {"type", "message", "decision"}}`; the decision is there only where the policy refused."""
    decision = error.decision.as_dict() if isinstance(error, Denied) else None
    kind = "InvalidRequest" if isinstance(error, Misuse) else type(error).__name__
    return {"error": {"type": kind, "message": str(error), "decision": decision}}


__all__ = [
    "CLOSED_PIPE",
    "DONE",
    "JSON",
    "REFUSED",
    "WRONG_USAGE",
    "Misuse",
    "error_document",
    "exit_code_of",
    "report",
    "report_usage_error",
    "show_error",
]
