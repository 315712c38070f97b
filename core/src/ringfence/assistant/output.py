"""Structured output: a model class or JSON Schema in, a validated instance or one typed error out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ringfence.errors import InvalidRequest, OutputInvalid, OutputTruncated
from ringfence.request import JsonValue, OutputSchema

if TYPE_CHECKING:
    from ringfence.response import Response

OutputT = TypeVar("OutputT")


class Output(Generic[OutputT]):
    """What an app wants back: a pydantic model class, any type pydantic understands, or a JSON Schema as a mapping."""

    def __init__(self, wanted: type[OutputT] | Mapping[str, JsonValue]) -> None:
        self._adapter: Any = None
        self._schema_only: Any = None
        if isinstance(wanted, Mapping):
            schema = wanted
            self._schema_only = _schema_validator(schema)
            name = schema.get("title")
        else:
            self._adapter = _type_adapter(wanted)
            schema = self._adapter.json_schema()
            name = getattr(wanted, "__name__", None)
        self._wanted = wanted
        self._partial: Any = None
        self.schema = OutputSchema(schema=schema, name=name if isinstance(name, str) else "output")

    def validate(self, response: Response[object]) -> OutputT:
        """The instance in the text of `response`.

        Raises:
            OutputTruncated: the model reached its length limit first.
            OutputInvalid: the text is not valid against the schema; the faults are named by kind, never by content.
        """
        if response.finish.reason == "length":
            truncated = OutputTruncated(
                "the structured output hit the length limit",
                partial_text=response.text,
                way_out="a larger max_output_tokens, or bounds such as max_length in the schema",
            )
            truncated.response = response
            raise truncated
        try:
            return self._parse(response.text)
        except (ValueError, RecursionError) as error:
            kinds = _kinds(error)
        # Raised here and not in the handler: the cause holds what the model wrote.
        invalid = OutputInvalid(f"the structured output is not valid: {kinds}", partial_text=response.text)
        invalid.response = response
        raise invalid

    def _parse(self, text: str) -> OutputT:
        if self._adapter is not None:
            return cast("OutputT", self._adapter.validate_json(text))
        value = json.loads(text)
        if not self._schema_only.is_valid(value):
            raise ValueError
        return cast("OutputT", value)

    def faults(self, text: str) -> str:
        """What is wrong with `text`, for the model that wrote it. Holds content: it goes only back through the gate."""
        try:
            self._parse(text)
        except (ValueError, RecursionError) as error:
            return str(error) or "it does not validate against the schema"
        return ""

    def partial(self, text: str) -> object | None:
        """The object as far as `text` goes, every field optional; `None` while there is nothing to show.

        A model class gives an instance of a class like it whose fields may be `None`; a schema gives plain JSON values.
        """
        from pydantic_core import from_json  # noqa: PLC0415  (only partial objects need it)

        try:
            value = from_json(text, allow_partial="trailing-strings")
        except (ValueError, RecursionError):
            return None
        if self._adapter is None:
            return cast("object", value)
        if self._partial is None:
            self._partial = _all_optional(self._wanted)
        try:
            return cast("object", self._partial.validate_python(value))
        except ValueError:
            return None


def _type_adapter(wanted: Any) -> Any:
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415  (never imported unless an app hands a type)
    except ImportError:
        raise InvalidRequest("structured output from a class needs pydantic", way_out="pip install pydantic") from None
    try:
        adapter = TypeAdapter(wanted)
        adapter.json_schema()
    except Exception as error:  # noqa: BLE001  (pydantic raises many kinds for what it cannot adapt)
        kind = type(error).__name__
        raise InvalidRequest(f"output is no type with a JSON Schema ({kind})", way_out="a BaseModel class") from None
    return adapter


def _schema_validator(schema: Mapping[str, JsonValue]) -> Any:
    import jsonschema_rs  # noqa: PLC0415  (only a schema given as a mapping needs it)

    try:
        return jsonschema_rs.validator_for(dict(schema), offline=True)
    except ValueError:
        raise InvalidRequest("output is not a valid JSON Schema", way_out="check it against its draft") from None


def _kinds(error: Exception) -> str:
    """The kinds of the faults, which hold no content: `2 faults (missing, int_type)`."""
    found = getattr(error, "errors", None)
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if not callable(found):
        return "not JSON" if isinstance(error, json.JSONDecodeError) else "it does not match the schema"
    kinds = [str(fault["type"]) for fault in cast("list[dict[str, object]]", found())]
    return f"{len(kinds)} fault{'s' if len(kinds) != 1 else ''} ({', '.join(sorted(set(kinds)))})"


def _all_optional(wanted: Any) -> Any:
    """An adapter like the one for `wanted` with every field of its models optional, so that a part of it validates."""
    from pydantic import BaseModel, Field, TypeAdapter, create_model  # noqa: PLC0415

    made: dict[object, Any] = {}

    def loosen(annotation: Any) -> Any:
        from typing import get_args, get_origin  # noqa: PLC0415

        if get_origin(annotation) is list and get_args(annotation):
            generic: Any = list
            return generic[loosen(get_args(annotation)[0])]
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return cast("Any", annotation)
        if annotation not in made:
            made[annotation] = Any  # a model inside itself stays loose
            fields = {
                name: (loosen(f.annotation) | None, Field(default=None, validation_alias=f.validation_alias))
                for name, f in annotation.model_fields.items()
            }
            made[annotation] = create_model(f"Partial{annotation.__name__}", **cast("dict[str, Any]", fields))
        return made[annotation]

    return TypeAdapter(loosen(wanted))
