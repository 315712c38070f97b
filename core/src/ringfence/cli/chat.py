"""`ringfence chat`: a conversation in the terminal, or with one turn a line through a pipe."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from ringfence.cli import options, terminal
from ringfence.cli.failure import REFUSED, report
from ringfence.cli.interrupts import Interrupted, forget
from ringfence.errors import Closed, RingfenceError, Unavailable

if TYPE_CHECKING:
    from ringfence.assistant.build import RequestOptions
    from ringfence.cli.consent import ConsentPrompt
    from ringfence.cli.conversation import Conversation
    from ringfence.policy import Policy

_PROMPT = "> "


class _Arguments(TypedDict):
    task: str | None
    labels: tuple[str, ...]
    policy: str | None
    layers: tuple[str, ...]
    to: tuple[str, ...]
    consent: tuple[str, ...]
    instructions: str | None
    ca_file: str | None
    proxy: str | None
    no_audit: bool
    no_download: bool
    as_json: bool


@click.command()
@options.task_option
@options.label_option
@options.policy_option
@options.layer_option
@options.to_option
@options.consent_option
@options.instructions_option
@options.ca_option
@options.proxy_option
@options.audit_option
@options.download_option
@options.json_option("A JSON line per event; the last of each turn is the whole answer.")
def chat(**given: Unpack[_Arguments]) -> None:
    """Holds a conversation. Nothing of it is stored unless you /save it.

    Ctrl-C cancels the answer that is being given, Ctrl-D ends; /help lists what else can be typed. Where stdin is no
    terminal, each line is a turn.
    """
    from ringfence.assistant import Assistant  # noqa: PLC0415  (`--help` waits for none of it)
    from ringfence.cli.consent import ConsentPrompt  # noqa: PLC0415
    from ringfence.cli.conversation import Conversation, Quit  # noqa: PLC0415
    from ringfence.transport import Network  # noqa: PLC0415

    policy = options.policy_in_force(given["policy"], given["layers"])
    session_options = _session_options(policy, given)
    consent = ConsentPrompt(policy, given["consent"])
    network = Network(proxy=given["proxy"], ca_file=given["ca_file"])
    with Assistant(policy, audit=not given["no_audit"], consent=consent, network=network) as assistant:
        conversation = Conversation(assistant, policy, session_options, labels=given["labels"])
        ok = True
        for line in _lines(policy):
            try:
                ok = _turn(conversation, policy, line, given, consent) and ok
            except Quit:
                break
    if not ok and not _interactive():
        sys.exit(REFUSED)


def _session_options(policy: Policy, given: _Arguments) -> RequestOptions:
    from ringfence.cli.given import check_names  # noqa: PLC0415

    check_names(policy, task=given["task"], labels=given["labels"], to=given["to"], consent=given["consent"])
    session: RequestOptions = {}
    if given["task"] is not None:
        session["task"] = given["task"]
    if given["instructions"] is not None:
        session["instructions"] = given["instructions"]
    if given["to"]:
        session["to"] = given["to"]
    return session


def _interactive() -> bool:
    return terminal.is_terminal(sys.stdin)


def _lines(policy: Policy) -> Iterator[str]:
    """What is typed or piped, line by line, without blank ones."""
    from ringfence.cli.given import lines_of_stdin  # noqa: PLC0415

    if not _interactive():
        yield from lines_of_stdin()
        return
    # History lives in memory only: no file is read or written.
    with contextlib.suppress(ImportError):  # a Python without it edits no lines
        importlib.import_module("readline")
    terminal.say(f"policy {policy.name} · /help for help, Ctrl-D ends", dim=True)
    while True:
        try:
            line = _read_line()
        except EOFError:
            terminal.say("")
            return
        except Interrupted as interrupt:
            _only_ctrl_c(interrupt)
            terminal.say("\n(Ctrl-D ends)", dim=True)
            continue
        if line.strip():
            yield line


def _read_line() -> str:
    if terminal.is_terminal(sys.stdout):
        return input(_PROMPT)
    terminal.say(_PROMPT, newline=False)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _turn(conversation: Conversation, policy: Policy, line: str, given: _Arguments, consent: ConsentPrompt) -> bool:
    """Takes one line; whether it went well. An error ends the turn, not the session."""
    try:
        if line.startswith("/") and not line.startswith("//"):
            conversation.command(line)
        else:
            text = line.removeprefix("/") if line.startswith("//") else line
            _ask(conversation, policy, text, given, consent)
    except Interrupted as interrupt:
        _only_ctrl_c(interrupt)
        return False
    except (Closed, terminal.CannotWrite):
        raise
    except RingfenceError as error:
        report(error, as_json=given["as_json"])
        return False
    return True


def _ask(conversation: Conversation, policy: Policy, text: str, given: _Arguments, consent: ConsentPrompt) -> None:
    from ringfence.cli.answer import printer_for, show_answer  # noqa: PLC0415

    def once() -> None:
        printer = printer_for(policy, as_json=given["as_json"], stream=True)
        show_answer(conversation.stream(text), printer, policy.name, consent)

    try:
        once()
    except Unavailable as error:
        from ringfence.cli.bring import bring_missing  # noqa: PLC0415

        if given["no_download"] or not bring_missing(policy, error):
            raise
        once()


def _only_ctrl_c(interrupt: Interrupted) -> None:
    """Lets a session survive Ctrl-C at a terminal, and nothing else."""
    if interrupt.number != signal.SIGINT or not _interactive():
        raise interrupt
    forget()


__all__ = ["chat"]
