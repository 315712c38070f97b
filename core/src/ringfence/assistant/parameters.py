"""The parameters of a Python function as a JSON Schema, and a model's arguments as values for them.

Plain types (`str int float bool`, `list[…]`, `dict[str, …]`, `Literal[…]`, `… | None`) need nothing but the core; any
other type needs pydantic.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NoReturn, Union, cast, get_args, get_origin, get_type_hints

from ringfence.errors import InvalidRequest

_SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_MOST_FAULTS = 8
_ARGUMENTS = ("Args:", "Arguments:", "Parameters:")
_SECTIONS = (*_ARGUMENTS, "Returns:", "Yields:", "Raises:")


class ArgumentsInvalid(Exception):
    """The model's arguments do not fit. The message names parameters and kinds of faults, never what was written."""


class Parameters:
    """What a function takes. `schema` is closed: an argument that it does not have is a fault.

    Raises:
        InvalidRequest: a parameter has no type, or one without a JSON Schema.
    """

    __slots__ = ("_adapter", "_hints", "_validator", "schema")

    def __init__(self, function: Callable[..., Any], *, tool: str) -> None:
        hints, defaults = _hints_and_defaults(function, tool)
        self._adapter: Any = None
        self._validator: Any = None
        self._hints = hints
        plain = {name: _plain_schema(hint) for name, hint in hints.items()}
        if None in plain.values():
            beyond = next(name for name, found in plain.items() if found is None)
            self._adapter = _adapter(hints, frozenset(defaults), tool, beyond)
            schema = _schema_of(self._adapter)
        else:
            schema = _object_schema(cast("dict[str, Any]", plain), [name for name in hints if name not in defaults])
        self.schema: dict[str, Any] = _with_defaults(schema, defaults)

    def describe(self, texts: Mapping[str, str]) -> None:
        """Adds what `Annotated[…, "text"]` or the docstring says of a parameter that has no description of its own."""
        for name, found in self.schema["properties"].items():
            said = _said(self._hints[name]) or texts.get(name)
            if said:
                found.setdefault("description", said)

    def read(self, arguments: str) -> dict[str, Any]:
        """The values in the JSON text `arguments`, by parameter; one that is left out is not among them.

        Raises:
            ArgumentsInvalid: they do not fit.
        """
        text = arguments if arguments.strip() else "{}"
        fault = "they are not valid"
        try:
            return self._read_plain(text) if self._adapter is None else self._adapter.validate_json(text)
        except ArgumentsInvalid:
            raise
        except RecursionError:
            fault = "they are nested too deeply"
        except Exception as error:  # noqa: BLE001  (a type's own validator may raise anything)
            fault = self._faults(error)
        # Raised here and not in the handler: the cause holds what the model wrote.
        raise ArgumentsInvalid(f"the arguments are not valid: {fault}")

    def _read_plain(self, text: str) -> dict[str, Any]:
        value = json.loads(text, parse_constant=_refuse)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a character cannot be written anywhere
        if self._validator is None:
            import jsonschema_rs  # noqa: PLC0415  (only a model's call needs it)

            self._validator = jsonschema_rs.validator_for(self.schema, offline=True)
        if not self._validator.is_valid(value):
            raise ArgumentsInvalid(f"the arguments are not valid: {self._plain_faults(value)}")
        return {name: _settled(self._hints[name], item) for name, item in value.items()}

    def _plain_faults(self, value: object) -> str:
        if not isinstance(value, dict):
            return "they are not a JSON object"
        missing = [(name, "missing") for name in self.schema["required"] if name not in value]
        others = [
            (error.instance_path[:1], str(error.schema_path[-1]))
            for error in self._validator.iter_errors(value)
            if error.schema_path[-1] != "required"
        ]
        return self._told([*missing, *((path[0] if path else "", kind) for path, kind in others)])

    def _faults(self, error: Exception) -> str:
        found = getattr(error, "errors", None)
        if not callable(found):
            return "they are not JSON" if isinstance(error, json.JSONDecodeError) else "a value is not allowed"
        faults = cast("list[dict[str, Any]]", found(include_url=False, include_context=False, include_input=False))
        return self._told([(fault["loc"][0] if fault["loc"] else "", str(fault["type"])) for fault in faults])

    def _told(self, faults: list[tuple[object, str]]) -> str:
        # A name that is none of the parameters' is something that the model wrote.
        known = [f"{name}: {kind}" if name in self._hints else kind for name, kind in faults]
        return "; ".join(dict.fromkeys(known[:_MOST_FAULTS]))


def docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The description in the docstring of `function`, and those of its parameters in a Google `Args:` section."""
    lines = (inspect.getdoc(function) or "").splitlines()
    first = next((number for number, line in enumerate(lines) if line in _SECTIONS), len(lines))
    described: dict[str, str] = {}
    name, indent = "", 0
    section = ""
    for line in lines[first:]:
        if line in _SECTIONS:
            section = line
        if section not in _ARGUMENTS or line == section or not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        head, colon, text = line.strip().partition(":")
        if colon and (not indent or depth <= indent):
            name, indent = head.partition(" ")[0], depth
            described[name] = text.strip()
        elif name:
            described[name] += f" {line.strip()}"
    return "\n".join(lines[:first]).strip(), described


def _hints_and_defaults(function: Callable[..., Any], tool: str) -> tuple[dict[str, Any], dict[str, object]]:
    try:
        signature, found = inspect.signature(function), get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError):
        raise InvalidRequest(
            f"the types of tool '{tool}' cannot be read", way_out="a function whose types are defined at module level"
        ) from None
    for name, parameter in signature.parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidRequest(
                f"parameter '{name}' of tool '{tool}' cannot be given by name", way_out="no *args, **kwargs and no /"
            )
        if name not in found:
            raise InvalidRequest(f"parameter '{name}' of tool '{tool}' has no type", way_out=f"{name}: str")
    parameters = signature.parameters.items()
    hints = {name: found[name] for name, _ in parameters}
    return hints, {name: one.default for name, one in parameters if one.default is not one.empty}


def _plain_schema(hint: Any) -> dict[str, Any] | None:
    """The schema of a plain type; `None` for any other."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated and all(isinstance(said, str) for said in arguments[1:]):
        return _plain_schema(arguments[0])
    if origin is Literal:
        plain = all(type(value) in _SCALARS for value in arguments)
        return {"enum": list(arguments)} if plain else None
    if origin is list:
        items = _plain_schema(arguments[0])
        return None if items is None else {"type": "array", "items": items}
    if origin is dict and arguments[0] is str:
        values = _plain_schema(arguments[1])
        return None if values is None else {"type": "object", "additionalProperties": values}
    if (only := _optional(hint)) is not None:
        inner = _plain_schema(only)
        return None if inner is None else {"anyOf": [inner, {"type": "null"}]}
    kind = next((name for scalar, name in _SCALARS.items() if hint is scalar), None)
    return None if kind is None else {"type": kind}


def _said(hint: Any) -> str | None:
    """The first text in `Annotated[…, "text"]`."""
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((said for said in metadata if isinstance(said, str)), None)


def _optional(hint: Any) -> Any:
    """The type beside `None` in `… | None`."""
    arguments = get_args(hint)
    if get_origin(hint) not in (Union, types.UnionType) or len(arguments) != 2 or type(None) not in arguments:  # noqa: PLR2004
        return None
    return next(one for one in arguments if one is not type(None))


def _settled(hint: Any, value: Any) -> Any:
    """A valid value as the type that the function expects: JSON does not tell 2 from 2.0."""
    if value is None:
        return None
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else _optional(hint)
    if inner is not None:
        return _settled(inner, value)
    if hint is int or hint is float:
        return hint(value)
    arguments = get_args(hint)
    if get_origin(hint) is list:
        return [_settled(arguments[0], item) for item in value]
    if get_origin(hint) is dict:
        return {key: _settled(arguments[1], item) for key, item in value.items()}
    return value


def _object_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _with_defaults(schema: dict[str, Any], defaults: Mapping[str, object]) -> dict[str, Any]:
    for name, default in defaults.items():
        if type(default) in _SCALARS:
            schema["properties"][name].setdefault("default", default)
    return schema


def _adapter(hints: Mapping[str, Any], optional: frozenset[str], tool: str, beyond: str) -> Any:
    """A pydantic adapter of the arguments as a mapping."""
    try:
        from pydantic import ConfigDict, TypeAdapter, with_config  # noqa: PLC0415  (plain types need none of it)
    except ImportError:
        raise InvalidRequest(
            f"the type of parameter '{beyond}' of tool '{tool}' needs pydantic", way_out="pip install pydantic"
        ) from None
    from typing import NotRequired  # noqa: PLC0415

    from typing_extensions import TypedDict  # noqa: PLC0415  (pydantic takes this one on Python 3.11)

    making: Any = TypedDict
    optionally: Any = NotRequired
    fields = {name: optionally[hint] if name in optional else hint for name, hint in hints.items()}
    try:
        adapter = TypeAdapter(with_config(ConfigDict(extra="forbid"))(making("Arguments", fields)))
        _schema_of(adapter)
    except Exception as error:  # noqa: BLE001  (pydantic raises many kinds for what it cannot adapt)
        kind = type(error).__name__
        raise InvalidRequest(
            f"a type of tool '{tool}' has no JSON Schema ({kind})", way_out="plain types or pydantic models"
        ) from None
    return adapter


def _schema_of(adapter: Any) -> dict[str, Any]:
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415

    class Untitled(GenerateJsonSchema):
        """Titles repeat the names and cost tokens."""

        def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
            return False

    schema = cast("dict[str, Any]", adapter.json_schema(schema_generator=Untitled))
    schema.pop("title", None)
    schema.setdefault("properties", {})
    schema.setdefault("required", [])
    return schema


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity are no JSON


__all__ = ["ArgumentsInvalid", "Parameters", "docstring"]
