"""The double that apps test against keeps the rules itself, where its scripts do."""

from __future__ import annotations

import dataclasses

from ringfence.request import Settings
from ringfence.testing import ScriptedProvider
from ringfence.testing.kit import ProviderConformance

EVERYTHING = frozenset(item.name for item in dataclasses.fields(Settings))


class TestScripted(ProviderConformance):
    provider = ScriptedProvider
    model = "scripted"
    capabilities = frozenset({"text", "tools"})
    # It takes whatever it is given: the script says what comes.
    honoured = EVERYTHING | {"tool_choice"}
