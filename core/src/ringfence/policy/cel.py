"""`cel:` conditions: compiled and typed when the file is read, run in three-valued logic.

They need the extra `ringfence[cel]`. The macros of CEL (`all`, `exists`, `filter`, `map`, `has`) are switched off: the
library bounds how often a loop runs but not what it builds, and 300 characters of nested `map` take six gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from ringfence.policy.conditions import Cel, Fact, FactType
from ringfence.policy.facts import Facts
from ringfence.policy.faults import did_you_mean, quoted

MAX_EXPRESSION: Final = 2_000
"""Characters."""

_TYPES: Final[Mapping[FactType, str]] = {"enum": "STRING", "bool": "BOOL", "int": "INT", "number": "DOUBLE"}
_CEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_FAULT = re.compile(r"<input>:\d+:(\d+): (.+)")
_MOST_SHOWN: Final = 200
_NO_TOKEN = re.compile(r"Syntax error: token recognition error at: '(=>|=<|[=&|])")
_MEANT: Final[Mapping[str, str]] = {"=": "==", "=>": ">=", "=<": "<=", "&": "&&", "|": "||"}
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_MACRO = re.compile(r"\b(all|exists|exists_one|filter|map|has)\s*\(")
_OURS: Final = ("task", "modality", "input_tokens")
_NO_LOOPS = (
    "uses a macro: all, exists, filter, map and has are switched off, as they can run without end. "
    "Write such as 'image' in modality."
)


class NotCel(Exception):
    """The expression cannot be a condition; the message says what is wrong, as a sentence that lacks its subject."""


def check_cel(condition: Cel, facts: Mapping[str, Fact]) -> None:
    """Returns where `condition` is one over the request and `facts`.

    Raises:
        NotCel: it is not, or the extra is not installed.
    """
    if len(condition.expression) > MAX_EXPRESSION:
        raise NotCel(f"has more than {MAX_EXPRESSION:,} characters. Write several rules.")
    try:
        _compiled(condition, facts)
    except ImportError:
        raise NotCel('needs an extra that is not installed. Run: pip install "ringfence[cel]".') from None
    except RuntimeError as error:
        raise NotCel(_explained(str(error), condition, facts)) from None


def compile_cel(condition: Cel, facts: Mapping[str, Fact]) -> Callable[[Facts], bool | None]:
    """The test of `condition`, which was checked. What is missing, raises or is no Boolean is `None`."""
    run, boolean = _compiled(condition, facts).eval, _library().Type.BOOL
    reads_labels = condition.reads_labels
    known = {name: (fact, fact.type == "number") for name, fact in facts.items()}

    def data_of(request: Facts) -> dict[str, object]:
        data: dict[str, object] = {
            "task": request.task,
            "modality": list(request.modality),
            "input_tokens": request.input_tokens,
        }
        if reads_labels:
            data["labels"] = sorted(request.labels)
        for name, value in request.values.items():
            fact, is_number = known.get(name, (None, False))
            if fact is not None and fact.admits(value):
                data[name] = float(value) if is_number else value
        return data

    def test(request: Facts) -> bool | None:
        try:
            found = run(data=data_of(request))
        except (RuntimeError, OverflowError, ValueError, TypeError):
            # Also what has no form in CEL, such as a whole number of 400 digits.
            return None
        # INVARIANT: an error is a value too, a text that Python takes for true. Only a Boolean is an answer.
        return bool(found.value()) if found.type() == boolean else None

    return test


def _compiled(condition: Cel, facts: Mapping[str, Fact]) -> Any:
    """Raises: ImportError without the extra; RuntimeError where it is no Boolean expression."""
    types = tuple((name, fact.type) for name, fact in facts.items())
    found = _environment(types, reads_labels=condition.reads_labels).compile(condition.expression)
    if found.return_type() != _library().Type.BOOL:
        raise RuntimeError(f"<input>:1:1: it gives {found.return_type().name().lower()}, not true or false")
    return found


def _library() -> Any:
    """The extra, which has no types. Raises: ImportError."""
    return import_module("cel_expr_python.cel")


@lru_cache(maxsize=4)
def _environment(facts: tuple[tuple[str, FactType], ...], *, reads_labels: bool) -> Any:
    cel = _library()
    texts = cel.Type.List(cel.Type.STRING)
    variables = {"task": cel.Type.STRING, "modality": texts, "input_tokens": cel.Type.INT}
    if reads_labels:
        variables["labels"] = texts
    types = {name: getattr(cel.Type, of) for name, of in _TYPES.items()}
    # A name such as user.age-band is a subtraction in CEL, so it cannot be read there.
    variables |= {name: types[type_] for name, type_ in facts if _CEL_NAME.fullmatch(name)}
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml("stdlib: {disable_macros: true}"), variables=variables)


def _explained(error: str, condition: Cel, facts: Mapping[str, Fact]) -> str:
    """The first complaint of the compiler, in one line that is safe to print."""
    missing = _UNDECLARED.search(error)
    if _MACRO.search(condition.expression):
        return _NO_LOOPS
    if missing is not None and missing[1] == "labels":
        return "cannot read labels: one label more could widen. Name them in the rule's own labels:."
    if missing is not None:
        known = (*_OURS, *(("labels",) if condition.reads_labels else ()), *facts)
        return f"names {quoted(missing[1])}, which is not declared under facts:.{did_you_mean(missing[1], known)}"
    found = _FAULT.search(error)
    if found is None:
        return "is nested too deeply or is too long to be read. Write several rules."
    if (written := _NO_TOKEN.match(found[2])) is not None:
        return f"has {written[1]} at character {found[1]}, which CEL does not know. Write {_MEANT[written[1]]}."
    says = found[2].removesuffix(" (in container '')").rstrip(".")[:_MOST_SHOWN]
    return f"is no condition at character {found[1]}: {says if says.isprintable() else ascii(says)[1:-1]}."
