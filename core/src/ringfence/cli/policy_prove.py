"""`ringfence policy prove` and `diff`: what holds for every request, and what an edit lets out that stayed in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ringfence.cli import failure, terminal
from ringfence.cli.options import json_option, layer_option
from ringfence.cli.policy.shown import count, in_ring, layers_in_force, text
from ringfence.errors import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table
    from rich.text import Text

    from ringfence.policy import Document
    from ringfence.policy.prove import Proof
    from ringfence.policy.prove.comparison import Comparison, Example, Row

_TOO_HARD = "too hard to prove: simplify the conditions of the rules"


@click.command()
@click.argument("file", type=click.Path())
@layer_option
@json_option()
def prove(*, file: str, layers: Sequence[str], as_json: bool) -> None:
    """Proves the invariants of FILE for every request, or shows a request for which one does not hold.

    What every policy should keep is proved besides. Exit 0 if all hold, 1 if one does not or FILE has other faults, 2
    if FILE cannot be read.
    """
    from time import perf_counter  # noqa: PLC0415

    from ringfence.policy.prove import LAWS  # noqa: PLC0415  (help and completion prove nothing)
    from ringfence.policy.prove import prove as prove_all  # noqa: PLC0415

    document = _document(file, layers_in_force(layers))
    start = perf_counter()
    asked = prove_all(document)
    of_every_file = prove_all(document, [law for law in LAWS if law not in document.invariants])
    took_ms = (perf_counter() - start) * 1000
    if as_json:
        terminal.write_json(_proofs_document(file, document, asked, of_every_file, took_ms), indent=2)
    else:
        _show_proofs(asked, of_every_file, took_ms)
    good = all(proof.holds for proof in (*asked, *of_every_file))
    click.get_current_context().exit(failure.DONE if good else failure.REFUSED)


@click.command()
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@json_option()
def diff(*, old: str, new: str, as_json: bool) -> None:
    """Whether NEW only narrows OLD: for each recipient a request that moves outward, or that none does.

    Exit 0 if nothing moves outward, 1 if something does or a file has faults, 2 if a file cannot be read.
    """
    from ringfence.policy.prove import TooHard  # noqa: PLC0415  (help and completion compare nothing)
    from ringfence.policy.prove.comparison import compare  # noqa: PLC0415

    before, after = _document(old), _document(new)
    try:
        found = compare(before, after)
    except (TooHard, RecursionError):
        raise PolicyError(
            "the two files are too hard to compare", way_out="simplify the conditions of the rules"
        ) from None
    if as_json:
        terminal.write_json(_comparison_document(old, new, found), indent=2)
    else:
        _show_comparison(found)
    click.get_current_context().exit(failure.DONE if found.only_narrows else failure.REFUSED)


def _document(file: str, layers: Sequence[Path] = ()) -> Document:
    """What `file` says under `layers`, whether or not its invariants hold."""
    from ringfence.policy.loading import policy_of, read_file  # noqa: PLC0415

    report = read_file(file, layers=layers)
    return report.unproved if report.unproved is not None else policy_of(report).document


def _proofs_document(
    file: str, document: Document, asked: Sequence[Proof], of_every_file: Sequence[Proof], took_ms: float
) -> dict[str, Any]:
    from ringfence.policy.prove import COVERS  # noqa: PLC0415

    return {
        "file": file,
        "digest": document.digest(),
        "ok": all(proof.holds for proof in (*asked, *of_every_file)),
        "invariants": [_proof_document(proof) for proof in asked],
        "laws": [_proof_document(proof) for proof in of_every_file],
        "took_ms": round(took_ms, 1),
        "covers": COVERS,
    }


def _proof_document(proof: Proof) -> dict[str, Any]:
    found = proof.counterexample
    return {
        "text": proof.text,
        "line": proof.invariant.at.line,
        "verdict": "proved" if proof.holds else "too hard" if found is None else "does not hold",
        "counterexample": None
        if found is None
        else {"says": found.says, "recipient": found.target, "rules": list(found.rules), **_request(found.facts)},
    }


def _show_proofs(asked: Sequence[Proof], of_every_file: Sequence[Proof], took_ms: float) -> None:
    from ringfence.policy.prove import COVERS  # noqa: PLC0415

    terminal.write_table(_proofs_table((*asked, *of_every_file)))
    if not asked:
        terminal.say("the file has no invariants; what every policy should keep was proved")
    proved = sum(proof.holds for proof in (*asked, *of_every_file))
    terminal.write(f"\n{proved} of {count(len(asked) + len(of_every_file), 'invariant')} proved in {took_ms:.0f} ms\n")
    terminal.write(f"{COVERS}\n")


def _proofs_table(proofs: Sequence[Proof]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for proof in proofs:
        table.add_row(text("✓", "green") if proof.holds else text("✗", "bold red"), text(proof.text))
        if not proof.holds:
            table.add_row("", text(_TOO_HARD if proof.counterexample is None else proof.counterexample.says, "red"))
    return table


def _comparison_document(old: str, new: str, found: Comparison) -> dict[str, Any]:
    return {
        "old": old,
        "new": new,
        "only_narrows": found.only_narrows,
        "recipients": [_row_document(row) for row in found.rows],
        "notes": list(found.notes),
    }


def _row_document(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "ring": row.ring,
        "tool": row.tool,
        "compared_with_nothing": row.new,
        "only_narrows": row.only_narrows,
        "outward": _example_document(row.outward),
        "looser": list(row.looser),
        "narrower": _example_document(row.narrower),
    }


def _example_document(example: Example | None) -> dict[str, Any] | None:
    if example is None:
        return None
    return {
        "says": example.says,
        "weaker": example.weaker,
        "rules": list(example.rules),
        "labels_elsewhere": sorted(example.before.labels),
        **_request(example.after),
    }


def _request(facts: Any) -> dict[str, Any]:
    """A request as a person would write it; a moment as minutes since Monday."""
    return {
        "labels": sorted(facts.labels),
        "task": facts.task,
        "input_tokens": facts.input_tokens,
        "modality": sorted(facts.modality),
        "facts": dict(facts.values),
        "minute": facts.minute,
    }


def _show_comparison(found: Comparison) -> None:
    terminal.write_table(_comparison_table(found.rows))
    for note in found.notes:
        terminal.say(note)
    terminal.write(f"\n{_summary(found)}\n")


def _summary(found: Comparison) -> str:
    from ringfence.policy.prove import COVERS  # noqa: PLC0415

    if found.only_narrows:
        return f"nothing moves outward. {COVERS}"
    outward = [row for row in found.rows if not row.only_narrows]
    return f"something moves outward to {count(len(outward), 'place')}"


def _comparison_table(rows: Sequence[Row]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("to", "edit"):
        table.add_column(name, no_wrap=True)
    table.add_column("for example", overflow="fold")
    for row in rows:
        verdict = text("moves outward", "bold red") if not row.only_narrows else _inward(row)
        table.add_row(_place(row), verdict, text("\n".join(_lines(row))))
    return table


def _inward(row: Row) -> Text:
    return text("only narrows", "green") if row.narrower is not None else text("the same", "dim")


def _place(row: Row) -> Text:
    return in_ring(f"tool {row.name}" if row.tool else row.name, row.ring)


def _lines(row: Row) -> Iterator[str]:
    if row.new is not None:
        yield f"({row.new}, so compared with nothing)"
    if row.outward is not None:
        yield row.outward.says
    yield from row.looser
    if row.narrower is not None:
        yield f"inward: {row.narrower.says}"


__all__ = ["diff", "prove"]
