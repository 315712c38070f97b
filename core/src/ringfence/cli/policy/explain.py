"""`ringfence policy explain`: what a policy decides for one request, by which rules, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli import failure, terminal
from ringfence.cli.given import check_names, read_facts, read_text
from ringfence.cli.options import fact_option, json_option, layer_option
from ringfence.cli.policy.shown import layers_in_force
from ringfence.policy.keys import MODALITIES

if TYPE_CHECKING:
    from ringfence.policy import Facts, Policy
    from ringfence.policy.document import TestRequest
    from ringfence.privacy.detection import Failure


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Given:
    """The words of the command line."""

    text: str | None
    task: str
    labels: Sequence[str]
    facts: Sequence[str]
    modalities: Sequence[str]
    input_tokens: int | None
    at: str | None
    to: Sequence[str]
    tools: Sequence[str]


@click.command()
@click.argument("file", type=click.Path())
@click.argument("text", required=False)
@click.option("--task", default="open_question", show_default=True, help="The task of the request.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="A label the app declares; may be repeated.")
@fact_option
@click.option(
    "--modality", "modalities", multiple=True, type=click.Choice(MODALITIES), help="In the input or asked for."
)
@click.option("--input-tokens", type=click.IntRange(min=0), help="The size of a request whose text is not given.")
@click.option("--time", "at", metavar="ISO", help="The moment of the request, as 2026-11-22T09:30. [default: now]")
@click.option("--to", multiple=True, metavar="RECIPIENT", help="Only this recipient; may be repeated.")
@click.option("--tool", "tools", multiple=True, metavar="NAME", help="A tool the app passes; may be repeated.")
@layer_option
@json_option()
def explain(*, file: str, layers: Sequence[str], as_json: bool, **given: object) -> None:
    """Shows what FILE decides for a request: every recipient, allowed or refused, by which rule.

    TEXT is scanned by the installed detectors ("-" reads it from stdin) and sent nowhere. Without TEXT the labels are
    those given, or the policy's `unknown`. A tool is text of a request too: with TEXT it is labelled and counted by its
    name. Exit 0 whenever it could decide, 1 if FILE has faults, 2 for wrong usage.
    """
    from ringfence.cli.policy.decision import decision_document, reach_of, show_decision  # noqa: PLC0415
    from ringfence.policy import load_policy  # noqa: PLC0415  (help and completion read no policy)

    asked = _Given(**given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  (click gives each its type)
    _check_order(file, asked.text)
    loaded = load_policy(file, layers=layers_in_force(layers))
    facts, failed = _facts(loaded, asked)
    _say_how_it_was_read(loaded, asked, facts)
    _say_failed(failed, loaded)
    decision = loaded.decide(facts)
    reached = {name: reach_of(loaded, name, facts) for name in dict.fromkeys(asked.tools)}
    _say_undeclared(reached, loaded)
    development = {name for name, recipient in loaded.recipients.items() if recipient.development}
    if as_json:
        terminal.write_json({**decision_document(decision, reached, development), **_failed_document(failed)}, indent=2)
    else:
        show_decision(decision, reached, development)


def _check_order(file: str, text: str | None) -> None:
    # INVARIANT: a question in the place of FILE is not repeated in an error about a file that is not there.
    if text is not None and not _is_file(file) and _is_file(text):
        raise failure.Misuse("FILE comes first, then TEXT", way_out='ringfence policy explain FILE "TEXT"')


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _facts(loaded: Policy, given: _Given) -> tuple[Facts, Mapping[str, Failure]]:
    """What is decided on, and the detectors that did not scan the text."""
    from ringfence.privacy.detection import DetectorSet  # noqa: PLC0415
    from ringfence.privacy.labels import Labeller  # noqa: PLC0415
    from ringfence.review.described import facts_of  # noqa: PLC0415

    detectors = DetectorSet()
    facts = facts_of(loaded, _described(loaded, given), Labeller(loaded, detectors), tools=given.tools)
    return facts, detectors.failures()


def _say_failed(failed: Mapping[str, Failure], loaded: Policy) -> None:
    for kind, why in failed.items():
        terminal.say(terminal.harmless(f"detector '{kind}' {why}: the text carries '{loaded.unknown}'"))


def _failed_document(failed: Mapping[str, Failure]) -> dict[str, object]:
    found = [{"kind": kind, "how": why.how, "error": why.error or None} for kind, why in failed.items()]
    return {"failed_detectors": found} if found else {}


def _described(loaded: Policy, given: _Given) -> TestRequest:
    from ringfence.policy.document import TestRequest  # noqa: PLC0415

    check_names(loaded, task=None, labels=given.labels, to=given.to)
    if not all(name.strip() for name in given.tools):
        raise failure.Misuse("--tool is empty", way_out="--tool NAME, as the app calls it")
    text = read_text("-") if given.text == "-" else given.text
    if text is not None and not text.strip():
        raise failure.Misuse("TEXT is empty", way_out="leave it out, and say --label")
    if text is not None and given.input_tokens is not None:
        raise failure.Misuse(
            "--input-tokens is for a request without TEXT, whose tokens are counted", way_out="leave one of them out"
        )
    return TestRequest(
        task=given.task,
        text=text,
        labels=frozenset(given.labels),
        modality=frozenset(given.modalities),
        input_tokens=given.input_tokens,
        values=read_facts(loaded, given.facts),
        to=frozenset(given.to) or None,
        at=given.at or _now(),
    )


def _now() -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.now(UTC).isoformat(timespec="minutes")


def _say_how_it_was_read(loaded: Policy, given: _Given, facts: Facts) -> None:
    if given.text is None and not given.labels:
        terminal.say(f"no TEXT and no --label: decided for label '{loaded.unknown}'")
    if given.at is None and facts.minute is not None and loaded.document.zone is not None:
        terminal.say(f"no --time: decided for now, {_moment(facts.minute)} in {loaded.document.zone}")
    if facts.task not in loaded.tasks:
        from ringfence.policy import did_you_mean  # noqa: PLC0415  (only a task that is not declared)

        hint = did_you_mean(facts.task, loaded.tasks)
        task = terminal.harmless(facts.task)
        terminal.say(f"task '{task}' is not declared in the policy: it is matched as 'other'.{hint}")


def _say_undeclared(tools: Iterable[str], loaded: Policy) -> None:
    """An app may well pass a tool that the policy does not name; a person may also have misspelt it."""
    for name in tools:
        if name not in loaded.document.tools:
            from ringfence.policy import did_you_mean  # noqa: PLC0415  (only a tool that is not declared)

            hint = (
                did_you_mean(name, loaded.document.tools) or " Declare it under tools:, with the ring that it reaches."
            )
            terminal.say(f"tool '{terminal.harmless(name)}' is not declared in the policy.{hint}")


def _moment(minute: int) -> str:
    day, of_day = divmod(minute, 1440)
    name = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[day]
    return f"{name} {of_day // 60:02}:{of_day % 60:02}"


__all__ = ["explain"]
