"""The public test kit: doubles for apps and plugin authors."""

from ringfence.testing.scripted import Script, ScriptedProvider, failing, text_events

__all__ = ["Script", "ScriptedProvider", "failing", "text_events"]
