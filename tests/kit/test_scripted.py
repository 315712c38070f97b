"""The double that apps test against: what it is a double in is said, and every other rule it keeps."""

from __future__ import annotations

import dataclasses

from ringfence.provider import ProviderContext
from ringfence.request import Settings
from ringfence.testing import ScriptedProvider
from ringfence.testing.kit import ProviderConformance

TAKES_ALL = "a double takes whatever it is given: its script says what comes"


class Reopened(ScriptedProvider):
    """A double is closed for good; this one can be opened again."""

    async def open(self, context: ProviderContext) -> None:
        await super().open(context)
        self._closed = False


class TestScripted(ProviderConformance):
    provider = Reopened
    model = "scripted"
    capabilities = frozenset({"text", "tools"})
    honoured = frozenset(item.name for item in dataclasses.fields(Settings)) | {"tool_choice"}
    xfail = dict.fromkeys(
        (
            "test_a_task_that_is_not_declared_is_refused",
            "test_vectors_have_norm_one_and_keep_their_order",
            "test_pictures_come_as_media",
            "test_speech_comes_as_media",
            "test_speech_is_transcribed",
            "test_structured_output",
            "test_structured_output_together_with_tools",
            "test_images_go_in",
            "test_files_go_in",
            "test_options_that_make_no_sense_are_found",
            "test_an_unknown_provider_option_is_not_dropped",
        ),
        TAKES_ALL,
    )
