"""Every word of the API for the end of an answer has a unified one."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from google.genai import types
from providers.gemini.tests.conftest import asking, chunk, recipient, streamed

from ringfence.response import Finish, FinishReason
from ringfence_gemini.reasons import BLOCK_REASONS, FINISH_REASONS

if TYPE_CHECKING:
    from providers.gemini.tests.conftest import Wire


def test_every_finish_reason_of_the_sdk_is_mapped_and_no_other() -> None:
    assert set(FINISH_REASONS) == {reason.value for reason in types.FinishReason}
    assert set(FINISH_REASONS.values()) <= set(get_args(FinishReason))


def test_every_block_reason_of_the_sdk_is_mapped_and_no_other() -> None:
    assert set(BLOCK_REASONS) == {reason.value for reason in types.BlockedReason}


@pytest.mark.parametrize("raw", [reason.value for reason in types.FinishReason])
async def test_a_finish_reason_is_told_in_both_words(wire: Wire, raw: str) -> None:
    wire.replies = [streamed(chunk({"text": "a"}, finish=raw))]
    assert (await wire.events(asking(), recipient()))[-1] == Finish(FINISH_REASONS[raw], raw)


async def test_a_reason_that_nobody_knows_yet_is_other(wire: Wire) -> None:
    wire.replies = [streamed(chunk({"text": "a"}, finish="SUNSPOTS"))]
    assert (await wire.events(asking(), recipient()))[-1] == Finish("other", "SUNSPOTS")


@pytest.mark.parametrize("raw", [reason.value for reason in types.BlockedReason])
async def test_a_blocked_prompt_is_a_content_filter_without_parts(wire: Wire, raw: str) -> None:
    wire.replies = [streamed({"promptFeedback": {"blockReason": raw}})]
    assert await wire.events(asking(), recipient()) == [Finish("content_filter", raw)]
