"""A decision as a person reads it: the outcome and the plan, then every recipient with its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.cli import terminal
from ringfence.cli.policy.shown import in_ring, text
from ringfence.receipt import DEVELOPMENT

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.policy import Decision, Facts, Policy, Step
    from ringfence.policy.decision import ToolVerdict

_VERDICT_STYLES = {"allow": "green", "ask": "yellow", "deny": "red"}
_OUTCOME_STYLES = {"allow": "bold green", "ask": "bold yellow", "deny": "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReach:
    """Whether the data of a request may reach one tool, and why not."""

    verdict: ToolVerdict
    refusal: str = ""

    @property
    def reason(self) -> str:
        """It in words."""
        one = self.verdict
        if not one.declared:
            return "not declared under tools: it gets placeholders, and its result carries the unknown label"
        if one.outcome == "deny":
            return self.refusal
        redacted = f", redacted {_redacted(one.redact)}" if one.redact else ""
        asked = "; a person approves the call" if one.outcome == "ask" else ""
        return f"its arguments may hold these labels{redacted}{asked}"


def reach_of(loaded: Policy, tool: str, facts: Facts) -> ToolReach:
    """Whether a request of `facts` may reach `tool`."""
    verdict = loaded.tool_verdict(tool, facts)
    refused = verdict.declared and verdict.outcome == "deny"
    return ToolReach(verdict=verdict, refusal=loaded.tool_refusal(tool, facts) if refused else "")


def decision_document(
    decision: Decision, tools: Mapping[str, ToolReach], development: Collection[str] = ()
) -> dict[str, object]:
    """The shape of `policy explain --json`; `tools` is there where one was asked for.

    `development` are the recipients for whose machines only a development authority vouches.
    """
    shown: dict[str, object] = decision.as_dict()
    if development:
        shown["development"] = sorted(development)
    if tools:
        shown["tools"] = {
            name: {
                "ring": tool.verdict.ring,
                "verdict": tool.verdict.outcome if tool.verdict.declared else None,
                "redact": dict(tool.verdict.redact),
                "reason": tool.reason,
            }
            for name, tool in tools.items()
        }
    return shown


def show_decision(decision: Decision, tools: Mapping[str, ToolReach], development: Collection[str] = ()) -> None:
    """Writes the decision to stdout."""
    terminal.write_table(_summary(decision, development))
    terminal.write("\n")
    terminal.write_table(_verdict_table(decision, development))
    if tools:
        terminal.write("\n")
        terminal.write_table(_tool_table(tools))


def _summary(decision: Decision, development: Collection[str]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    summary = Table.grid(padding=(0, 2))
    summary.add_column(no_wrap=True)
    summary.add_column(overflow="fold")
    for name, value in (
        ("policy", text(decision.policy)),
        ("task", text(decision.task)),
        ("labels", text(", ".join(decision.labels))),
        ("outcome", text(decision.outcome, _OUTCOME_STYLES[decision.outcome])),
        ("route", text(decision.route or "none")),
    ):
        summary.add_row(text(name, "bold"), value)
    for place, step in enumerate(decision.plan, 1):
        summary.add_row(text("plan" if place == 1 else "", "bold"), _step(place, step, development))
    if not decision.plan:
        summary.add_row(text("plan", "bold"), text("nothing"))
    return summary


def _step(place: int, step: Step, development: Collection[str]) -> Text:
    """`2. openai  fallback: consent, redact (contact pseudonym)`."""
    shown = text(f"{place}. ").append_text(in_ring(step.recipient, step.ring))
    standing = DEVELOPMENT if step.recipient in development else ""
    notes = [note for note in (standing, _stage(step), _obligations(step)) if note]
    return shown.append(f"  {'; '.join(notes)}" if notes else "")


def _stage(step: Step) -> str:
    stage: str = "" if step.stage in ("prefer", "hedge") else step.stage
    if step.overflow is not None:
        stage = f"overflow of {step.overflow.recipient} beyond {step.overflow.over:.0%}"
    hedge = "" if step.hedge_after_s is None else f"hedge after {step.hedge_after_s} s"
    return ", ".join(note for note in (stage, hedge) if note)


def _obligations(step: Step) -> str:
    return ", ".join(
        f"redact {_redacted(step.redact)}" if name == "redact" and step.redact else name for name in step.obligations
    )


def _redacted(kinds: tuple[tuple[str, str], ...]) -> str:
    return f"({', '.join(f'{label}: {kind}' for label, kind in kinds)})"


def _verdict_table(decision: Decision, development: Collection[str]) -> Table:
    table = _table("recipient")
    for name, verdict in decision.recipients.items():
        # A sentence a line: each names one rule.
        table.add_row(
            text(name),
            in_ring(f"{verdict.ring} {DEVELOPMENT}" if name in development else verdict.ring, verdict.ring),
            text(verdict.verdict, _VERDICT_STYLES[verdict.verdict]),
            text(verdict.reason.replace("; ", "\n")),
        )
    return table


def _tool_table(tools: Mapping[str, ToolReach]) -> Table:
    table = _table("tool")
    for name, tool in tools.items():
        one = tool.verdict
        table.add_row(
            text(name),
            text("–") if one.ring is None else in_ring(one.ring, one.ring),
            text(one.outcome, _VERDICT_STYLES[one.outcome]) if one.declared else text("not ruled", "yellow"),
            text(tool.reason.replace("; ", "\n") if one.outcome == "deny" else tool.reason),
        )
    return table


def _table(first: str) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (first, "ring", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    return table


__all__ = ["ToolReach", "decision_document", "reach_of", "show_decision"]
