"""Rules on tools, structured output, attachments and reasoning: what is declared works, all else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.errors import Unsupported
from ringfence.request import FilePart, ImagePart, Message, ReasoningPart, Request, TextPart, ToolCallPart
from ringfence.testing.kit.base import Subject, needs_backend
from ringfence.testing.kit.expect import expect, fail, named
from ringfence.testing.kit.material import CALLS, OUTPUT, PDF, PNG, SHAPE, TOOLS, after_tools, carries
from ringfence.testing.scenes import Scene

_STATE = "kit-foreign-state-6b1d"


class ToolRules(Subject):
    """What a model is declared to take, it takes; what it is not, it refuses."""

    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    def test_parallel_tool_calls(self, *, stream: bool) -> None:
        """Every call of an answer arrives with an id and whole arguments; without tools, they are refused."""
        request = self.bench.asking(tools=TOOLS, stream=stream)
        if not self.bench.can("tools"):
            self.bench.refused(request, "tools")
            return
        outcome = self.bench.answer(request, Scene(text=(), tool_calls=CALLS))
        message = outcome.message
        calls = [] if message is None else [part for part in message.parts if isinstance(part, ToolCallPart)]
        expect(len({call.id for call in calls}) == len(calls), "two tool calls have the same id")
        expect(all(call.id for call in calls), "a tool call has no id")
        if self.bench.backend is None:
            return
        expect([call.name for call in calls] == [call.name for call in CALLS], f"called were {calls}, not {CALLS}")
        for call, asked in zip(calls, CALLS, strict=True):
            expect(_json(call.arguments) == _json(asked.arguments), f"the arguments of {call.name} are not whole")
        expect(outcome.finish is not None and outcome.finish.reason == "tool_calls", f"finish is {outcome.finish}")

    def test_tool_results_go_back(self) -> None:
        """Every tool result reaches the model, and one of a tool that failed is told apart; or they are refused."""
        if not self.bench.can("tools"):
            self.bench.refused(after_tools(), "tools")
            return
        fine = self.bench.answer(after_tools(), Scene())
        failed = self.bench.answer(after_tools(is_error=True), Scene())
        if self.bench.backend is None:
            return
        for text in (b"kit-result-warm", b"kit-result-noon"):
            expect(text in fine.body, "the result of a tool was not sent")
        for call in CALLS:
            expect(call.name.encode() in fine.body, f"the call of {call.name} was not sent with its result")
        expect(b"kit-result-warm" in failed.body, "the result of a tool that failed was not sent")
        expect(failed.body != fine.body, "a tool that failed is sent like one that did not")

    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    def test_structured_output(self, *, stream: bool) -> None:
        """The schema is sent, or the answer was made to fit it; undeclared, structured output is refused."""
        request = self.bench.asking(output=OUTPUT, stream=stream)
        if not self.bench.can("output_schema"):
            self.bench.refused(request, "structured output")
            return
        outcome = self.bench.answer(request, Scene(text=('{"kit_ver', 'dict": "yes"}')))
        message = outcome.message
        expect(message is not None and _fits(message.text), "the structured output does not fit its schema")
        if self.bench.backend is not None:
            told = any(one.setting == "output" for one in outcome.adjustments)
            expect(told or b"kit_verdict" in outcome.body, "the schema was not sent")

    def test_structured_output_together_with_tools(self) -> None:
        """A model that has structured output and tools takes both at once; any other refuses them."""
        request = self.bench.asking(output=OUTPUT, tools=TOOLS)
        if not (self.bench.can("output_schema") and self.bench.can("tools")):
            self.bench.refused(request, "tools or structured output")
            return
        outcome = self.bench.answer(request, Scene(text=('{"kit_verdict": "no"}',)))
        if self.bench.backend is None:
            return
        told = any(one.setting == "output" for one in outcome.adjustments)
        expect(told or b"kit_verdict" in outcome.body, "with tools the schema was not sent")
        expect(b"kit_weather" in outcome.body, "with a schema the tools were not sent")
        called = self.bench.answer(request, Scene(text=(), tool_calls=CALLS[:1]))
        parts = () if called.message is None else called.message.parts
        expect(any(isinstance(part, ToolCallPart) for part in parts), "with a schema the tool call did not arrive")

    def test_images_go_in(self) -> None:
        """An image reaches the model as its bytes, or is refused where the model takes none."""
        request = self.bench.asking(TextPart("what is this?"), ImagePart(PNG, name="kit.png"))
        if not self.bench.can("image_input"):
            self.bench.refused(request, "an image")
            return
        outcome = self.bench.answer(request, Scene())
        if self.bench.backend is not None:
            expect(carries(outcome.body, PNG), "the image was not sent")
            expect(b"image/png" in outcome.body, "the media type of the image was not sent")

    def test_files_go_in(self) -> None:
        """A file reaches the model as its bytes or its text; one that the model cannot take is refused."""
        if not self.bench.can("file_input"):
            part = FilePart(PDF, media_type="application/pdf", name="kit.pdf")
            self.bench.refused(self.bench.asking(TextPart("read this"), part), "a file")
            return
        taken = 0
        for data, media_type, name in ((PDF, "application/pdf", "kit.pdf"), (b"kit-note-44aa", "text/plain", "k.txt")):
            part = FilePart(data, media_type=media_type, name=name)
            outcome = self.bench.outcome(self.bench.asking(TextPart("read this"), part), Scene())
            if isinstance(outcome.error, Unsupported):
                expect(not outcome.seen, "a file was refused after something was sent")
                continue
            expect(outcome.error is None, f"a file of type {media_type} ended in {named(outcome.error)}")
            if self.bench.backend is not None:
                expect(carries(outcome.body, data), f"a file of type {media_type} was not sent")
            taken += 1
        expect(taken, "file_input is declared, and neither a PDF nor a text file is taken")

    @needs_backend
    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    def test_reasoning_comes_apart_from_the_answer(self, *, stream: bool) -> None:
        """Reasoning arrives as a part of its own and never inside the text."""
        if not self.bench.can("reasoning"):
            request = self.bench.asking(stream=stream)
            message = self.bench.answer(request, Scene()).message
            parts = () if message is None else message.parts
            expect(not any(isinstance(part, ReasoningPart) for part in parts), "reasoning is not declared")
            return
        outcome = self.bench.answer(self.bench.asking(stream=stream), Scene(reasoning=("kit-", "thought")))
        message = outcome.message
        thoughts = [] if message is None else [part for part in message.parts if isinstance(part, ReasoningPart)]
        expect("".join(part.text for part in thoughts) == "kit-thought", "the reasoning did not arrive")
        expect(message is not None and "kit-" not in message.text, "the reasoning stands in the text")

    def test_reasoning_goes_back_only_to_its_provider(self) -> None:
        """Opaque reasoning of another provider is never sent; what this one gave is sent back to it."""
        question, more = Message("user", (TextPart("why?"),)), Message("user", (TextPart("go on"),))
        foreign = ReasoningPart("kit-other-provider", "kit-foreign-thought", state=_STATE)
        answer = Message("assistant", (foreign, TextPart("because")))
        outcome = self.bench.answer(self._kit_turns(question, answer, more), Scene())
        if self.bench.backend is None:
            return
        for mark in (_STATE, "kit-foreign-thought"):
            expect(mark.encode() not in outcome.body, "reasoning of another provider was sent")
        if self.bench.can("reasoning"):
            self._kit_own_state(question, more)

    def _kit_own_state(self, question: Message, more: Message) -> None:
        first = self.bench.answer(self._kit_turns(question), Scene(reasoning=("kit-", "thought")))
        if first.message is None:
            fail("an answer without a message")
        states = [part.state for part in first.message.parts if isinstance(part, ReasoningPart) and part.state]
        body = self.bench.answer(self._kit_turns(question, first.message, more), Scene()).body
        for state in states:
            found = carries(body, state.encode()) or all(word.encode() in body for word in _words(state))
            expect(found, "the provider's own opaque reasoning was not sent back to it")

    def _kit_turns(self, *messages: Message) -> Request:
        return self.bench.asking(messages=messages)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        fail("the arguments of a tool call are no JSON")


def _fits(text: str) -> bool:
    import jsonschema_rs  # noqa: PLC0415  (only this rule validates)

    try:
        value = json.loads(text)
    except ValueError:
        return False
    return bool(jsonschema_rs.is_valid(dict(SHAPE), value))


def _words(state: str) -> list[str]:
    """The strings in a state that is JSON: a provider may keep several of its backend's fields in one."""
    try:
        value = json.loads(state)
    except ValueError:
        return [state]
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, dict):
            for item in node.values():  # pyright: ignore[reportUnknownVariableType]
                walk(item)
        elif isinstance(node, list):
            for item in node:  # pyright: ignore[reportUnknownVariableType]
                walk(item)

    walk(value)
    return found


__all__ = ["ToolRules"]
