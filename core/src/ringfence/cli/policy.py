"""`ringfence policy`: whether a policy file is right, what it decides and why, and its schema for editors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from ringfence.cli import failure, terminal
from ringfence.cli.given import check_names, read_facts, read_text
from ringfence.cli.options import fact_option, json_option
from ringfence.policy.keys import MODALITIES

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.policy import Decision, Fault, Policy, Report
    from ringfence.policy.reach import How
    from ringfence.request import Modality

_BYTES_PER_TOKEN = 3
_RING_STYLES = {"device": "green", "house": "cyan", "partner": "magenta"}
_VERDICT_STYLES = {"allow": "green", "deny": "red"}
_OUTCOME_STYLES = {"allow": "bold green", "ask": "bold yellow", "deny": "bold red"}
_MARKS: Mapping[How, str] = {"always": "", "sometimes": "*", "ask": "?"}
_HOW: Mapping[How, str] = {
    "sometimes": "* under a condition; 'ringfence policy explain' decides for one request",
    "ask": "? only after a person consents",
}
_SCHEMA_LINE = "# yaml-language-server: $schema=./ringfence.policy.schema.json"


@click.group()
def policy() -> None:
    """Policy files: which data may reach which recipient, and why.

    No command here needs a key, a network or a provider.
    """


@policy.command()
@click.argument("file", type=click.Path())
@json_option()
def check(*, file: str, as_json: bool) -> None:
    """Checks FILE: every fault as `file:line:col: message`, in order, or where each label may go.

    Exit 0 if the file would load, 1 if it has faults, 2 if it cannot be read.
    """
    from ringfence.policy import check_file  # noqa: PLC0415  (help and completion read no policy)

    report = check_file(file)
    if as_json:
        terminal.write_json(_report_document(report), indent=2)
    else:
        _show_report(report)
    click.get_current_context().exit(failure.DONE if report.policy else failure.REFUSED)


@policy.command()
@click.argument("file", type=click.Path())
@click.argument("text", required=False)
@click.option("--task", default="open_question", show_default=True, help="The task of the request.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="A label the app declares; may be repeated.")
@fact_option
@click.option(
    "--modality", "modalities", multiple=True, type=click.Choice(MODALITIES), help="In the input or asked for."
)
@click.option("--input-tokens", type=click.IntRange(min=0), help="The size of a request whose text is not given.")
@click.option("--to", multiple=True, metavar="RECIPIENT", help="Only this recipient; may be repeated.")
@json_option()
def explain(
    *,
    file: str,
    text: str | None,
    task: str,
    labels: Sequence[str],
    facts: Sequence[str],
    modalities: Sequence[str],
    input_tokens: int | None,
    to: Sequence[str],
    as_json: bool,
) -> None:
    """Shows what FILE decides for a request: every recipient, allowed or refused, by which rule.

    TEXT is scanned by the installed detectors ("-" reads it from stdin) and sent nowhere. Without TEXT the labels are
    those given, or the policy's `unknown`. Exit 0 whenever it could decide, 1 if FILE has faults, 2 for wrong usage.
    """
    from ringfence.policy import Facts, load_policy  # noqa: PLC0415  (help and completion read no policy)

    loaded = load_policy(file)
    check_names(loaded, task=None, labels=labels, to=to)
    content = read_text("-") if text == "-" else text
    request = Facts(
        task=task,
        labels=_labels(loaded, content, labels),
        input_tokens=_input_tokens(content, input_tokens),
        modality=_modality(content, modalities),
        values=read_facts(loaded, facts),
        to=frozenset(to) or None,
    )
    _say_how_it_was_read(loaded, request, given=content is not None or bool(labels))
    decision = loaded.decide(request)
    if as_json:
        terminal.write_json(decision.as_dict(), indent=2)
    else:
        _show_decision(decision)


@policy.command()
@json_option("The same: it is JSON either way.")
def schema(*, as_json: bool) -> None:
    """Prints the JSON Schema of a policy file, for completion and checking in an editor."""
    from ringfence.policy import json_schema  # noqa: PLC0415  (help and completion need none)

    del as_json
    terminal.write_json(json_schema(), indent=2)
    terminal.say("save it as ringfence.policy.schema.json beside the policy, and begin the policy with:")
    terminal.say(_SCHEMA_LINE)


def _labels(loaded: Policy, text: str | None, declared: Sequence[str]) -> frozenset[str]:
    if text is None:
        return frozenset(declared) or frozenset({loaded.unknown})
    from ringfence.privacy.labels import label_text  # noqa: PLC0415  (detectors load only where there is a text)

    return label_text(loaded, text, declared)


def _input_tokens(text: str | None, given: int | None) -> int:
    if text is None:
        return given or 0
    if given is not None:
        raise failure.Misuse(
            "--input-tokens is for a request without TEXT, whose tokens are counted", way_out="leave one of them out"
        )
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def _modality(text: str | None, given: Sequence[str]) -> frozenset[Modality]:
    always: tuple[Modality, ...] = () if given and text is None else ("text",)
    return frozenset((*cast("Sequence[Modality]", given), *always))


def _say_how_it_was_read(loaded: Policy, request: Any, *, given: bool) -> None:
    if not given:
        terminal.say(f"no TEXT and no --label: decided for label '{loaded.unknown}'")
    if request.task not in loaded.tasks:
        from ringfence.policy import did_you_mean  # noqa: PLC0415  (only a task that is not declared)

        hint = did_you_mean(request.task, loaded.tasks)
        terminal.say(f"task '{request.task}' is not declared in the policy: it is matched as 'other'.{hint}")


def _report_document(report: Report) -> dict[str, Any]:
    from ringfence.policy.reach import reached  # noqa: PLC0415

    found = report.policy
    return {
        "file": report.source,
        "ok": found is not None,
        "policy": {"name": found.name, "digest": found.digest} if found else None,
        "faults": [_fault_document(fault) for fault in report.faults],
        "warnings": [_fault_document(warning) for warning in report.warnings],
        "labels": reached(found.document) if found else {},
    }


def _fault_document(fault: Fault) -> dict[str, Any]:
    return {"line": fault.at.line, "column": fault.at.column, "message": fault.message}


def _show_report(report: Report) -> None:
    for line in report.fault_lines:
        terminal.write(f"{line}\n")
    for line in report.warning_lines:
        terminal.say(line)
    if report.policy is None:
        terminal.say(f"{_count(len(report.faults), 'fault')}; the file would not load")
        return
    from ringfence.policy.reach import reached  # noqa: PLC0415

    found = report.policy.document
    reach = reached(found)
    counts = (
        _count(len(found.recipients), "recipient"),
        _count(len(found.labels), "label"),
        _count(len(found.flow), "flow rule"),
        _count(len(found.route), "route"),
    )
    terminal.write(f"policy '{report.policy.name}' has no faults: {', '.join(counts)}\n")
    terminal.write_table(_reach_table(report.policy, reach))
    found_ways = {how for one in reach.values() for how in one.values()}
    for how, says in _HOW.items():
        if how in found_ways:
            terminal.say(says)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _reach_table(found: Policy, labels: Mapping[str, Mapping[str, How]]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    table = Table("label", "may reach", box=None, pad_edge=False, header_style="bold")
    for label, reach in labels.items():
        table.add_row(_text(label), _joined(_recipient(found, name, how) for name, how in reach.items()))
    return table


def _recipient(found: Policy, name: str, how: How) -> Text:
    return _text(f"{name}{_MARKS[how]}", _RING_STYLES[found.recipients[name].ring])


def _joined(names: Iterable[Text]) -> Text:
    shown = list(names)
    return _text(", ").join(shown) if shown else _text("nothing", "dim")


def _show_decision(decision: Decision) -> None:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    steps = [" ".join((step.recipient, *(f"({what})" for what in step.obligations))) for step in decision.plan]
    summary = Table.grid(padding=(0, 2))
    for name, value in (
        ("policy", _text(decision.policy)),
        ("task", _text(decision.task)),
        ("labels", _text(", ".join(decision.labels))),
        ("outcome", _text(decision.outcome, _OUTCOME_STYLES[decision.outcome])),
        ("plan", _text(" → ".join(steps) or "nothing")),
        ("route", _text(decision.route or "none")),
    ):
        summary.add_row(_text(name, "bold"), value)
    terminal.write_table(summary)
    terminal.write("\n")
    terminal.write_table(_verdict_table(decision))


def _verdict_table(decision: Decision) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("recipient", "ring", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for name, verdict in decision.recipients.items():
        # A sentence a line: each names one rule.
        table.add_row(
            _text(name),
            _text(verdict.ring, _RING_STYLES[verdict.ring]),
            _text(verdict.verdict, _VERDICT_STYLES[verdict.verdict]),
            _text(verdict.reason.replace("; ", "\n")),
        )
    return table


def _text(written: str, style: str = "") -> Text:
    """Text of a file or the command line: never read as markup, and no control character reaches the terminal."""
    from rich.text import Text  # noqa: PLC0415  (45 ms, and only a table needs it)

    return Text(terminal.harmless(written), style=style)


__all__ = ["policy"]
