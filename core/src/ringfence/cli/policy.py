"""`ringfence policy`: whether a policy file is right, what it decides and why, and its schema for editors."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from ringfence.errors import PolicyError, PolicyInvalid, PolicyNotReadable, RingfenceError
from ringfence.policy import Decision, Facts, Policy, Report, check_file, did_you_mean, json_schema, load_policy
from ringfence.policy.keys import MODALITIES
from ringfence.policy.reach import How, reached

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ringfence.policy import Fact
    from ringfence.request import Modality

_WIDTH_WITHOUT_TERMINAL = 10_000  # one line a row, for whatever reads the pipe
_BYTES_PER_TOKEN = 3
_RING_STYLES = {"device": "green", "house": "cyan", "partner": "magenta"}
_VERDICT_STYLES = {"allow": "green", "deny": "red"}
_OUTCOME_STYLES = {"allow": "bold green", "ask": "bold yellow", "deny": "bold red"}
_SCHEMA_LINE = "# yaml-language-server: $schema=./ringfence.policy.schema.json"

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")


@click.group()
def policy() -> None:
    """Policy files: which data may reach which recipient, and why.

    No command here needs a key, a network or a provider.
    """


@policy.command()
@click.argument("file", type=click.Path())
@_json_option
def check(*, file: str, as_json: bool) -> None:
    """Checks FILE: every fault as `file:line:col: message`, in order, or where each label may go.

    Exit 0 if the file would load, 1 if it has faults, 2 if it cannot be read.
    """
    try:
        report = check_file(file)
    except PolicyNotReadable as error:
        _fail(error, as_json=as_json, code=2)
    if as_json:
        _print_json(_report_document(report))
    else:
        _print_report(report)
    sys.exit(0 if report.policy else 1)


@policy.command()
@click.argument("file", type=click.Path())
@click.argument("text", required=False)
@click.option("--task", default="open_question", show_default=True, help="The task of the request.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="A label the app declares; may be repeated.")
@click.option("--fact", "facts", multiple=True, metavar="NAME=VALUE", help="A fact the app supplies; may be repeated.")
@click.option(
    "--modality",
    "modalities",
    multiple=True,
    type=click.Choice(MODALITIES),
    help="In the input or asked for; repeatable.",
)
@click.option("--input-tokens", type=click.IntRange(min=0), help="The size of a request whose text is not given.")
@click.option("--to", "recipients", multiple=True, metavar="RECIPIENT", help="Only these recipients; may be repeated.")
@_json_option
def explain(
    *,
    file: str,
    text: str | None,
    task: str,
    labels: tuple[str, ...],
    facts: tuple[str, ...],
    modalities: tuple[str, ...],
    input_tokens: int | None,
    recipients: tuple[str, ...],
    as_json: bool,
) -> None:
    """Shows what FILE decides for a request: every recipient, allowed or refused, by which rule.

    TEXT is scanned by the installed detectors ("-" reads it from stdin) and sent nowhere. Without TEXT the labels are
    those given, or the policy's `unknown`. Exit 0 whenever it could decide, 1 if FILE has faults, 2 for wrong usage.
    """
    try:
        loaded = load_policy(file)
    except PolicyError as error:
        _fail(error, as_json=as_json, code=1 if isinstance(error, PolicyInvalid) else 2)
    try:
        content = _text(text)
        _check_names("label", labels, loaded.labels)
        _check_names("recipient", recipients, loaded.recipients)
        request = Facts(
            task=task,
            labels=_labels(loaded, content, labels),
            input_tokens=_input_tokens(content, input_tokens),
            modality=_modality(content, modalities),
            values=dict(_fact(one, loaded.facts) for one in facts),
            to=frozenset(recipients) or None,
        )
    except (_Misuse, RingfenceError) as error:
        _fail(error, as_json=as_json, code=2)
    _hints(loaded, request, given=content is not None or bool(labels))
    decision = loaded.decide(request)
    if as_json:
        _print_json(decision.as_dict())
    else:
        _print_decision(decision)


@policy.command()
@_json_option
def schema(*, as_json: bool) -> None:
    """Prints the JSON Schema of a policy file, for completion and checking in an editor."""
    del as_json  # it is JSON either way
    _print_json(json_schema())
    click.echo(
        f"save it as ringfence.policy.schema.json beside the policy, and begin the policy with:\n{_SCHEMA_LINE}",
        err=True,
    )


class _Misuse(Exception):
    """The command line names something the policy does not declare."""


def _text(text: str | None) -> str | None:
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise _Misuse("standard input is not UTF-8 text") from None


def _check_names(what: str, names: Sequence[str], declared: Mapping[str, object]) -> None:
    for name in names:
        if name not in declared:
            raise _Misuse(f"{what} '{name}' is not declared in the policy.{did_you_mean(name, declared)}")


def _labels(loaded: Policy, text: str | None, declared: Sequence[str]) -> frozenset[str]:
    if text is None:
        return frozenset(declared) or frozenset({loaded.unknown})
    from ringfence.privacy.labels import label_text  # noqa: PLC0415  (detectors load only where there is a text)

    return label_text(loaded, text, declared)


def _input_tokens(text: str | None, given: int | None) -> int:
    if text is None:
        return given or 0
    if given is not None:
        raise _Misuse("--input-tokens is for a request without TEXT: with it, they are counted")
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def _modality(text: str | None, given: Sequence[str]) -> frozenset[Modality]:
    always: tuple[Modality, ...] = () if given and text is None else ("text",)
    return frozenset((*cast("Sequence[Modality]", given), *always))


def _fact(given: str, declared: Mapping[str, Fact]) -> tuple[str, str | int | float | bool]:
    name, equals, written = given.partition("=")
    if not equals:
        raise _Misuse(f"--fact takes NAME=VALUE, such as user.age_band=adult, not '{given}'")
    if name not in declared:
        raise _Misuse(f"fact '{name}' is not declared in the policy.{did_you_mean(name, declared)}")
    fact = declared[name]
    value = fact.parse(written)
    if value is None:
        raise _Misuse(f"'{written}' is not a value of fact '{name}': {fact.describe()}")
    return name, value


def _hints(loaded: Policy, request: Facts, *, given: bool) -> None:
    """What a person should know about how the request was read."""
    if not given:
        click.echo(f"no TEXT and no --label: decided for label '{loaded.unknown}'", err=True)
    if request.task not in loaded.tasks:
        hint = did_you_mean(request.task, loaded.tasks)
        click.echo(f"task '{request.task}' is not declared in the policy: it is matched as 'other'.{hint}", err=True)


def _fail(error: Exception, *, as_json: bool, code: int) -> NoReturn:
    kind = "UsageError" if isinstance(error, _Misuse) else type(error).__name__
    message = error.message if isinstance(error, PolicyInvalid) else str(error)
    faults = list(error.faults) if isinstance(error, PolicyInvalid) else []
    if as_json:
        _print_json({"error": {"type": kind, "message": message, **({"faults": faults} if faults else {})}})
    else:
        click.echo("\n".join((f"ringfence: {message}", *faults)), err=True)
    sys.exit(code)


def _print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _report_document(report: Report) -> dict[str, Any]:
    found = report.policy
    return {
        "file": report.source,
        "ok": found is not None,
        "policy": {"name": found.name, "digest": found.digest} if found else None,
        "faults": [_fault_document(fault) for fault in report.faults],
        "warnings": [_fault_document(warning) for warning in report.warnings],
        "labels": reached(found.document) if found else {},
    }


def _fault_document(fault: Any) -> dict[str, Any]:
    return {"line": fault.at.line, "column": fault.at.column, "message": fault.message}


def _print_report(report: Report) -> None:
    for line in report.fault_lines:
        click.echo(line)
    for warning in report.warnings:
        click.echo(type(warning)(warning.at, f"warning: {warning.message}").render(report.source), err=True)
    if report.policy is None:
        click.echo(f"{_count(len(report.faults), 'fault')}; the file would not load", err=True)
        return
    found = report.policy.document
    counts = (
        _count(len(found.recipients), "recipient"),
        _count(len(found.labels), "label"),
        _count(len(found.flow), "flow rule"),
        _count(len(found.route), "route"),
    )
    console = _console()
    console.print(f"policy '{report.policy.name}' has no faults: {', '.join(counts)}", markup=False)
    console.print(_reach_table(report.policy, reached(found)))
    click.echo("* under a condition; 'ringfence policy explain' decides for one request", err=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _reach_table(found: Policy, labels: Mapping[str, Mapping[str, How]]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)
    from rich.text import Text  # noqa: PLC0415

    table = Table("label", "may reach", box=None, pad_edge=False, header_style="bold")
    for label, reach in labels.items():
        names = [
            Text(f"{name}{'' if how == 'always' else '*'}", style=_RING_STYLES[found.recipients[name].ring])
            for name, how in reach.items()
        ]
        table.add_row(Text(label), Text(", ").join(names) if names else Text("nothing", style="dim"))
    return table


def _print_decision(decision: Decision) -> None:
    from rich.text import Text  # noqa: PLC0415

    console = _console()
    console.print(
        Text.assemble(
            ("policy ", "dim"),
            decision.policy,
            (" · task ", "dim"),
            decision.task,
            (" · labels ", "dim"),
            ", ".join(decision.labels),
        )
    )
    steps = " → ".join(
        f"{step.recipient} ({', '.join(step.obligations)})" if step.obligations else step.recipient
        for step in decision.plan
    )
    console.print(
        Text.assemble(
            (decision.outcome, _OUTCOME_STYLES[decision.outcome]),
            (" · plan ", "dim"),
            steps or "empty",
            (" · route ", "dim"),
            decision.route or "none",
        )
    )
    console.print(_verdict_table(decision))


def _verdict_table(decision: Decision) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("recipient", "ring", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for name, verdict in decision.recipients.items():
        table.add_row(
            Text(name),
            Text(verdict.ring, style=_RING_STYLES[verdict.ring]),
            Text(verdict.verdict, style=_VERDICT_STYLES[verdict.verdict]),
            Text(verdict.reason),
        )
    return table


def _console() -> Console:
    """Rich honours NO_COLOR and writes no colour where stdout is not a terminal."""
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL)
