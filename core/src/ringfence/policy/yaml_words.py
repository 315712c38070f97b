"""What the YAML parser trips over, in words for a person who is not a programmer: what is wrong, and what to do."""

from __future__ import annotations

from typing import Any

from ringfence.policy.languages import CURLY, has_curly_quotes
from ringfence.policy.place import START, Position

_SAYS = {
    "character '\\t'": "a tab cannot indent. Use spaces",
    "mapping values are not allowed": "a colon cannot stand here. Check the line above, or put the text in quotes",
    "expected the node content": "a value is missing here, or a bracket above is not closed",
    "expected <block end>": "the indentation is wrong. Begin in the column of its neighbours, or close a quote above",
    "<document start>": "this cannot stand here. Write each line as NAME: VALUE",
}
# These are wrong where they begin, which the parser calls their context, not where it noticed.
_SAYS_OF_CONTEXT = {
    "could not find expected ':'": "a colon is missing. Write NAME: VALUE, with a space after the colon",
    "found unexpected end of stream": "a quote opens here and is never closed. Write a second one",
}
_CLOSES = {"]": "[", "}": "{"}


def yaml_fault(error: Any, text: str) -> tuple[Position, str]:
    """Where `error`, a `MarkedYAMLError` of reading `text`, is to be mended, and how."""
    at, says = _fault(error)
    if has_curly_quotes(text, at.line):
        says = CURLY
    return at, f"not valid YAML: {says}."


def _fault(error: Any) -> tuple[Position, str]:
    at = _position(error.problem_mark or error.context_mark)
    problem = str(error.problem or "it breaks off")
    if error.context and "alias" in str(error.context):
        return at, 'a star needs quotes. Write "*"'
    for sign, says in _SAYS.items():
        if sign in problem:
            return at, says
    for sign, says in _SAYS_OF_CONTEXT.items():
        if sign in problem:
            return _position(error.context_mark or error.problem_mark), says
    return at, _brackets(error, problem) or _as_parsed(problem)


def _brackets(error: Any, problem: str) -> str | None:
    for closes, opens in _CLOSES.items():
        if f"expected ',' or '{closes}'" in problem:
            line = _position(error.context_mark).line
            wrong = next((other for other in _CLOSES if f"got '{other}'" in problem), None)
            if wrong is not None:
                return (
                    f"'{wrong}' does not close the '{opens}' on line {line}. Add '{closes}' before it, or take it out"
                )
            return f"the '{opens}' on line {line} is not closed before this. Add '{closes}', or a comma between items"
    return None


def _as_parsed(problem: str) -> str:
    said = problem.replace("<stream end>", "the end of the file")
    return said if said.isprintable() else ascii(said)


def _position(mark: Any) -> Position:
    return START if mark is None else Position(mark.line + 1, mark.column + 1)
