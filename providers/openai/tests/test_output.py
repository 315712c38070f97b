"""Structured output: the vendor's dialect, other servers, and with tools."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.provider import Plan
from ringfence.recipient import Recipient
from ringfence.request import OutputSchema, Tool
from ringfence.response import Adjustment
from ringfence.testing.scenes import Scene

CLOSED: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
OPEN: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


def _format(body: Any) -> Any:
    """The format and its fields, wherever the API puts them."""
    if "response_format" in body:
        given = body["response_format"]
        return {"type": given["type"], **given.get("json_schema", {})}
    return body.get("text", {}).get("format")


async def _vendor_plan(kit: Any, schema: Any, **fields: Any) -> Plan[Any]:
    options = {"api": kit.recipient.options["api"]}
    to = Recipient(name="far", ring="partner", provider="openai", model="gpt-5.5", options=options)
    request = kit.request(output=OutputSchema(schema=schema, name="my answer"), **fields)
    plan: Plan[Any] = kit.provider.plan(request, to, await kit.provider.card(to))
    return plan


async def test_a_schema_that_can_be_strict_is(kit: Any) -> None:
    plan = await _vendor_plan(kit, CLOSED)
    assert _format(plan.native.body) == {
        "type": "json_schema",
        "name": "my_answer",
        "schema": {**CLOSED, "additionalProperties": False},
        "strict": True,
    }
    assert plan.adjustments == ()


async def test_a_schema_that_cannot_be_strict_is_sent_as_it_is_and_told(kit: Any) -> None:
    plan = await _vendor_plan(kit, OPEN)
    found = _format(plan.native.body)
    assert found["schema"] == OPEN
    assert found["strict"] is False
    assert [(one.setting, one.action) for one in plan.adjustments] == [("output", "changed")]


async def test_it_goes_together_with_tools(kit: Any) -> None:
    plan = await _vendor_plan(kit, CLOSED, tools=(Tool(name="note"),))
    assert _format(plan.native.body)["type"] == "json_schema"
    assert len(plan.native.body["tools"]) == 1


async def test_another_server_gets_the_schema_as_it_is(kit: Any) -> None:
    answer = await kit.ask("Hello", Scene(text=('{"a": "b"}',)), output=OutputSchema(schema=CLOSED))
    assert _format(kit.sent())["schema"] == CLOSED
    assert answer.text == '{"a": "b"}'


@pytest.mark.parametrize(("mode", "kind"), [("json_object", {"type": "json_object"}), ("none", None)])
async def test_a_server_without_schemas_is_told_in_words(kit: Any, mode: str, kind: Any) -> None:
    there = kit.at(options={**kit.recipient.options, "output": mode})
    request = there.request(output=OutputSchema(schema=CLOSED))
    plan = await there.plan(request)
    assert _format(plan.native.body) == kind
    assert '{"type":"object"' in plan.native.content.decode().replace("\\", "")
    assert plan.adjustments == (
        Adjustment(
            setting="output",
            action="emulated",
            detail="the schema stands in the instructions; the server does not enforce it",
        ),
    )
    assert (await there.ask("Hello", Scene(), output=OutputSchema(schema=CLOSED))).text
