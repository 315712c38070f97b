"""Structured output and tools in the vendor's words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.request import JsonValue, OutputSchema, Tool
from ringfence.response import Adjustment
from ringfence_openai.dialect import strict_schema
from ringfence_openai.options import RecipientOptions

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_MOST_OF_A_NAME = 64
_NOT_STRICT = "the schema means what OpenAI's strict dialect cannot say, so it guides the model and does not bind it"
_IN_WORDS = "the schema stands in the instructions; the server does not enforce it"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFormat:
    """How the shape of an answer is asked for: a format for the server, an instruction for the model, or both.

    `named` is the format as both APIs spell it, but for where `name`, `schema` and `strict` stand.
    """

    kind: str | None
    name: str = ""
    schema: Mapping[str, JsonValue] | None = None
    strict: bool = False
    instruction: str | None = None
    adjustments: tuple[Adjustment, ...] = ()


def output_format(output: OutputSchema, options: RecipientOptions) -> OutputFormat:
    """How `output` is asked for at a recipient with `options`."""
    if options.output != "json_schema":
        kind = "json_object" if options.output == "json_object" else None
        words = (
            f"Answer with one JSON value that fits this JSON Schema, and with nothing else:\n{_compact(output.schema)}"
        )
        adjustment = Adjustment(setting="output", action="emulated", detail=_IN_WORDS)
        return OutputFormat(kind=kind, instruction=words, adjustments=(adjustment,))
    name = _NOT_IN_A_NAME.sub("_", output.name)[:_MOST_OF_A_NAME] or "output"
    # The dialect is the vendor's; other servers take the schema as it is and bind the model to it.
    strict = strict_schema(output.schema) if options.vendor else output.schema
    if strict is not None:
        return OutputFormat(kind="json_schema", name=name, schema=strict, strict=True)
    adjustment = Adjustment(setting="output", action="changed", detail=_NOT_STRICT)
    return OutputFormat(kind="json_schema", name=name, schema=output.schema, adjustments=(adjustment,))


def function(tool: Tool, options: RecipientOptions) -> dict[str, JsonValue]:
    """The function `tool`, bound to its schema where the dialect can say it; other servers know no `strict`."""
    described: dict[str, JsonValue] = {"name": tool.name}
    if tool.description:
        described["description"] = tool.description
    if not options.vendor:
        return {**described, "parameters": tool.parameters}
    strict = strict_schema(tool.parameters)
    parameters = tool.parameters if strict is None else strict
    return {**described, "parameters": parameters, "strict": strict is not None}


def _compact(schema: Mapping[str, JsonValue]) -> str:
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)


__all__ = ["OutputFormat", "function", "output_format"]
