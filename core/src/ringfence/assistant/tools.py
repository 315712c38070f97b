"""Tools of the app: Python functions that a model may call, and what they may answer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload

from ringfence.checks import require
from ringfence.request import NO_LABELS, Tool, ToolCallPart, label_set

if TYPE_CHECKING:
    from ringfence.assistant.parameters import Parameters

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

Approve: TypeAlias = Callable[[ToolCallPart], bool | Awaitable[bool]]
"""Asks a person whether a call may be run. Only `True` is a yes. A plain function is called in a thread.

The part's `labels` are those that the policy decided on; its arguments are what the model wrote.
"""


class ToolError(Exception):
    """Raised by a tool: its message goes to the model, labelled as a result, and nowhere else.

    Of any other exception the model is told the type only.
    """


@dataclass(frozen=True, slots=True, repr=False)
class ToolResult:
    """What a tool may return to say more than a text: `labels` are added to those that the result carries anyway."""

    text: str
    labels: frozenset[str] = field(default=NO_LABELS, kw_only=True)
    is_error: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        text: object = self.text
        require(isinstance(text, str), "the text of a tool result is str", 'ToolResult("21 degrees")')
        object.__setattr__(self, "labels", label_set(self.labels))

    def __repr__(self) -> str:
        return f"ToolResult({len(self.text)} characters, labels={sorted(self.labels)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """How far a model may go with tools in one request.

    `rounds` is how many answers may ask for calls, `calls` how many calls there may be in all; beyond either the
    request ends with `ToolLimitReached`. `calls_at_once` is how many of one answer's calls run side by side. Of a call
    that takes longer than `call_timeout_s` seconds (`None` for no limit) the model is told that it failed.
    """

    rounds: int = 8
    calls: int = 32
    calls_at_once: int = 8
    call_timeout_s: float | None = 60.0

    def __post_init__(self) -> None:
        for name in ("rounds", "calls", "calls_at_once"):
            count: object = getattr(self, name)
            holds = isinstance(count, int) and not isinstance(count, bool) and count >= 1
            require(holds, f"tool limit {name} is a count of 1 or more", f"ToolLimits({name}=4)")
        limit: object = self.call_timeout_s
        timed = isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0
        require(limit is None or timed, "call_timeout_s is more than 0 seconds", "ToolLimits(call_timeout_s=30)")


class FunctionTool(Generic[P, R]):
    """A function that a model may call: the tool as the model sees it, and how it is run. `tool` makes one.

    A plain function is run in a thread, so it may block; it cannot be cancelled there: once nobody waits for it any
    more, what it returns is dropped. A coroutine function is run on the assistant's loop, and is cancelled.

    What it returns goes to the model: a `str` as it is, a `ToolResult` with its labels, anything else as JSON.

    Raises:
        InvalidRequest: it is no function, or a parameter has no type or one without a JSON Schema.
    """

    __slots__ = ("_parameters", "ask", "definition", "function")

    def __init__(
        self, function: Callable[P, R], *, name: str | None = None, description: str | None = None, ask: bool = False
    ) -> None:
        given: object = function
        require(inspect.isroutine(given), "a tool is made of a function", "@tool above a def")
        from ringfence.assistant.parameters import Parameters, docstring  # noqa: PLC0415  (most apps have no tools)

        called = function.__name__ if name is None else name
        require(_NAME.fullmatch(called) is not None, "a tool's name is a word of at most 64 letters", 'name="weather"')
        about, texts = docstring(function)
        self._parameters: Parameters = Parameters(function, tool=called)
        self._parameters.describe(texts)
        self.function = function
        self.ask = ask
        """Whether a person must be asked before each call."""
        self.definition = Tool(
            name=called,
            description=about if description is None else description,
            parameters=self._parameters.schema,
        )
        """The tool as the model sees it."""

    @property
    def name(self) -> str:
        """The name by which the model calls it, and by which a policy may declare it."""
        return self.definition.name

    def read(self, arguments: str) -> dict[str, Any]:
        """The arguments that a model wrote, as values for the function.

        Raises:
            ArgumentsInvalid: they do not fit its types.
        """
        return self._parameters.read(arguments)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function itself."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"FunctionTool({self.name})"


@overload
def tool(
    function: Callable[P, R], /, *, name: str | None = None, description: str | None = None, ask: bool = False
) -> FunctionTool[P, R]: ...
@overload
def tool(
    function: None = None, /, *, name: str | None = None, description: str | None = None, ask: bool = False
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    ask: bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """A decorator: makes a tool of a function with type hints; it can still be called as before.

    The description is the docstring, those of the parameters its `Args:` section. `ask=True` lets no request take it
    along without an `approve=` callback.
    """

    def make(function: Callable[P, R]) -> FunctionTool[P, R]:
        return FunctionTool(function, name=name, description=description, ask=ask)

    return make if function is None else make(function)


AnyTool: TypeAlias = Tool | FunctionTool[..., Any] | Callable[..., Any]
"""What `tools=` takes: a definition whose calls the app answers, a `FunctionTool`, or a function to make one of."""


def as_tool(given: AnyTool) -> Tool | FunctionTool[..., Any]:
    """A function becomes a `FunctionTool`."""
    if isinstance(given, Tool):
        return given
    return cast("FunctionTool[..., Any]", given) if isinstance(given, FunctionTool) else FunctionTool(given)


def definitions(given: Iterable[AnyTool]) -> tuple[Tool, ...]:
    """The tools as a model sees them."""
    return tuple(one.definition if isinstance(one, FunctionTool) else one for one in map(as_tool, given))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Toolbox:
    """The functions that one request takes along, and how far the model may go with them.

    Raises:
        InvalidRequest: one must not be called unasked, and there is nobody to ask.
    """

    functions: Mapping[str, FunctionTool[..., Any]]
    approve: Approve | None
    limits: ToolLimits

    def __post_init__(self) -> None:
        unasked = [name for name, function in self.functions.items() if function.ask and self.approve is None]
        name = unasked[0] if unasked else ""
        require(not unasked, f"tool '{name}' asks before each call, and there is nobody to ask", "approve=callback")

    def __repr__(self) -> str:
        return f"Toolbox({', '.join(self.functions)})"


def toolbox_of(tools: Iterable[AnyTool], approve: Approve | None, limits: ToolLimits) -> Toolbox | None:
    """The functions among `tools`; `None` where there are none, so that the app answers all calls itself."""
    found = [cast("FunctionTool[..., Any]", one) for one in tools if isinstance(one, FunctionTool)]
    if not found:
        return None
    return Toolbox(functions={one.name: one for one in found}, approve=approve, limits=limits)


def text_of(value: object) -> str:
    """What a function returned, as text for the model.

    Raises:
        TypeError: it has no JSON form.
    """
    import json  # noqa: PLC0415

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_json_ready)


def _json_ready(value: object) -> object:
    from dataclasses import asdict, is_dataclass  # noqa: PLC0415

    dump = getattr(value, "model_dump", None)  # pydantic's, which may not be installed
    if callable(dump):
        return dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(cast("set[str]", value), key=str)
    written = getattr(value, "isoformat", None)
    if callable(written):
        return written()
    raise TypeError(f"a {type(value).__name__} has no JSON form")


__all__ = ["AnyTool", "Approve", "FunctionTool", "ToolError", "ToolLimits", "ToolResult", "tool"]
