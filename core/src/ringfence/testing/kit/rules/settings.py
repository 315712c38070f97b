"""Rules on settings: honoured, reported or refused, and never dropped without a word (invariant 6)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ringfence.errors import Unsupported
from ringfence.request import Request, Settings, Tool
from ringfence.testing.kit.base import Subject
from ringfence.testing.kit.expect import expect
from ringfence.testing.kit.material import FIELDS, SETTINGS, TOOLS
from ringfence.testing.kit.opened import Outcome
from ringfence.testing.scenes import Scene, Seen

_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)")


class SettingRules(Subject):
    """No setting changes into another answer silently."""

    @pytest.mark.parametrize("field", FIELDS)
    def test_a_setting_is_never_dropped_silently(self, field: str) -> None:
        """Each setting changes what is sent or planned, stands in `adjustments`, or is refused."""
        for kind in self.bench.kinds():
            plain = self.bench.asking(kind=kind, settings=Settings())
            given = self.bench.asking(kind=kind, settings=Settings(**{field: SETTINGS[field]}))
            told = self.bench.told(given, frozenset({field}), kind)
            silent = not told and field not in self.honoured and not self._kit_changes(plain, given, kind)
            expect(not silent, f"{field} in a request for {kind} is neither sent, nor in adjustments, nor refused")

    def test_several_settings_at_once(self) -> None:
        """Settings that are honoured one by one are honoured together: all are sent, reported or refused."""
        plain = self.bench.asking(settings=Settings())
        fields: dict[str, Any] = {}
        for field in ("max_output_tokens", "temperature", "top_p", "seed", "stop"):
            try:
                self._kit_native(self.bench.asking(settings=Settings(**{field: SETTINGS[field]})))
            except Unsupported:
                continue
            fields[field] = SETTINGS[field]
        for left in fields:
            others = {field: value for field, value in fields.items() if field != left}
            given = self.bench.asking(settings=Settings(**fields))
            without = self.bench.asking(settings=Settings(**others))
            told = self.bench.told(given, frozenset({left}))
            silent = not told and left not in self.honoured and not self._kit_changes(without, given)
            expect(not silent, f"{left} is dropped when it comes together with {sorted(others)}")
        expect(plain.settings == Settings(), "the plain request has no settings")

    def _kit_native(self, request: Request, kind: str = "text") -> object:
        """What `plan` makes of `request`."""

        async def planned() -> object:
            ready = await (await self.bench.opened()).ready(request, kind)
            ready.grant.revoke()
            return ready.plan.native

        return self.bench.run(planned())

    def test_a_translation_is_always_the_same(self) -> None:
        """The same request is sent as the same bytes: nothing of an earlier request, of chance or of the clock."""
        for kind in self.bench.kinds():
            request = self.bench.asking(kind=kind)
            one, other = (self.bench.answer(request, self._kit_scene_for(kind), kind=kind) for _ in range(2))
            if self.bench.backend is not None:
                expect(_wire(one) == _wire(other), f"two equal requests for {kind} were sent as different bytes")

    def test_an_unknown_provider_option_is_not_dropped(self) -> None:
        """An option for this provider that it does not know is refused, or reported; a typing error is not ignored."""
        name = self.bench.provider_name
        plain = self.bench.asking()
        given = self.bench.asking(provider_options={name: {"kit_no_such_option": True}})
        told = self.bench.told(given, frozenset({"provider_options", "kit_no_such_option"}))
        expect(told or self._kit_changes(plain, given), "an unknown option in provider_options was dropped silently")

    @pytest.mark.parametrize("choice", ["none", "required"])
    def test_a_tool_choice_is_never_dropped_silently(self, choice: Any) -> None:
        """`tool_choice` changes what is sent, stands in `adjustments`, or is refused."""
        if not self.bench.can("tools"):
            self.bench.refused(self.bench.asking(tools=TOOLS, tool_choice=choice), "tools")
            return
        plain = self.bench.asking(tools=TOOLS)
        given = self.bench.asking(tools=TOOLS, tool_choice=choice)
        told = self.bench.told(given, frozenset({"tool_choice"}))
        fine = told or "tool_choice" in self.honoured or self._kit_changes(plain, given)
        expect(fine, f"tool_choice={choice} is neither sent, nor in adjustments, nor refused")

    def test_a_tool_is_sent_whole(self) -> None:
        """The name, description and every parameter of a tool reach the backend; without tools, they are refused."""
        if not self.bench.can("tools"):
            self.bench.refused(self.bench.asking(tools=TOOLS), "tools")
            return
        other = Tool(name=TOOLS[0].name, description="another", parameters=TOOLS[0].parameters)
        if self.bench.backend is None:
            self.bench.answer(self.bench.asking(tools=(other,)))
            return
        body = self.bench.answer(self.bench.asking(tools=TOOLS), Scene()).body
        for word in (*(tool.name for tool in TOOLS), *(tool.description for tool in TOOLS), "kit_city", "kit_zone"):
            expect(word.encode() in body, f"'{word}' of a tool was not sent")

    def _kit_scene_for(self, kind: str) -> Scene:
        from ringfence.testing.kit.rules.media import scene_for  # noqa: PLC0415  (the two modules use one another)

        return scene_for(kind)

    def _kit_changes(self, plain: Request, given: Request, kind: str = "text") -> bool:
        """Whether the two are sent as different bytes, or, where nothing is sent, planned as different jobs."""
        if self.bench.backend is None:
            one, same, other = (self._kit_native(request, kind) for request in (plain, plain, given))
            # What does not compare tells nothing.
            return one == same and one != other
        scene = self._kit_scene_for(kind)
        one = self.bench.answer(plain, scene, kind=kind)
        other = self.bench.answer(given, scene, kind=kind)
        return _wire(one) != _wire(other)


def _wire(outcome: Outcome) -> tuple[object, ...]:
    expect(len(outcome.seen) == 1, f"the backend saw {len(outcome.seen)} requests where one was asked for")
    return wire(outcome.seen[0])


def wire(seen: Seen) -> tuple[object, ...]:
    """What of a request says what is asked: all but the headers, and without a boundary drawn by chance."""
    body = seen.body
    if match := _BOUNDARY.search(seen.headers.get("content-type", "")):
        body = body.replace(match.group(1).encode(), b"boundary")
    return seen.method, seen.path, seen.query, body


__all__ = ["SettingRules", "wire"]
