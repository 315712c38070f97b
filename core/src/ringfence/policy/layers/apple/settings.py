"""What each key of a device profile does to a policy: the table.

| key of a declaration | key of `com.apple.applicationaccess` | effect |
|---|---|---|
| external-intelligence `Enabled` | `allowExternalIntelligenceIntegrations` | no partner |
| external-intelligence `AllowSignIn` | `allowExternalIntelligenceIntegrationsSignIn` | no partner that is sent a key |
| external-intelligence `AllowedWorkspaceIDs` | `allowedExternalIntelligenceWorkspaceIDs` | no partner but those whose
  `options.workspace` is in the list |
| intelligence `AllowWritingTools` | `allowWritingTools` | no rewrite, proofread, article_summary |
| intelligence `AllowImagePlayground`, `AllowGenmoji`, `AllowImageWand` | `allowImagePlayground`, `allowGenmoji`,
  `allowImageWand` | no image |
| intelligence `AllowVisualIntelligenceSummary` | `allowVisualIntelligenceSummary` | no article_summary of a picture |
| intelligence `Apps.Mail.AllowSummary`, `Apps.Safari.AllowSummary`, `Apps.Notes.AllowTranscriptionSummary` |
  `allowMailSummary`, `allowSafariSummary`, `allowNotesTranscriptionSummary` | no article_summary |
| intelligence `Apps.Mail.AllowSmartReplies` | `allowMailSmartReplies` | no smart_reply, email_reply |
| intelligence `Apps.Notes.AllowTranscription` | `allowNotesTranscription` | no transcribe |
| intelligence `Apps.Calendar.AllowNaturalLanguageEditing` | none | no action |
| intelligence `ForceOnDeviceOnlyDictation` | `forceOnDeviceOnlyDictation` | transcribe only on the device |
| intelligence `ForceOnDeviceOnlyTranslation` | `forceOnDeviceOnlyTranslation` | translate, translation and every task
  that the policy does not declare only on the device |
| siri `Enabled` | `allowAssistant` | nothing at all |
| siri `AllowSiriAI` | none | no open_question, action |
| none | `allowDictation` | no transcribe |

A request does not say for which app it is: a feature that is off in one app is the task, off everywhere. A deny that is
about tasks applies to a task that the policy does not declare, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ringfence.recipient import RINGS, Ring
from ringfence.request import Modality

EXTERNAL: Final = "com.apple.configuration.external-intelligence.settings"
INTELLIGENCE: Final = "com.apple.configuration.intelligence.settings"
SIRI: Final = "com.apple.configuration.siri.settings"
RESTRICTIONS: Final = "com.apple.applicationaccess"

WORKSPACES: Final[Mapping[str, str]] = {
    EXTERNAL: "AllowedWorkspaceIDs",
    RESTRICTIONS: "allowedExternalIntelligenceWorkspaceIDs",
}
"""The key of the one list there is."""

NO_BEARING: Final[Mapping[str, frozenset[str]]] = {
    EXTERNAL: frozenset(),
    INTELLIGENCE: frozenset({"AllowAppleIntelligenceReport", "AllowPersonalizedHandwritingResults"}),
    SIRI: frozenset(
        {"AllowUserGeneratedContent", "AllowWhileLocked", "ForceProfanityFilter", "ForceReduceSensitiveContent"}
    ),
}
"""Keys of the declarations that say nothing of what a request may do. Those of the restrictions are hundreds."""

To: TypeAlias = Literal["all", "outside", "partner", "signed-in"]
"""Whom a deny names: every ring, all but the device, partners, or the partners that are sent a key."""
TO_RINGS: Final[Mapping[To, tuple[Ring, ...]]] = {
    "all": RINGS,
    "outside": ("house", "partner"),
    "partner": ("partner",),
}
TRANSLATION: Final = frozenset({"translate", "translation"})
"""No task of every policy is a translation; these are those that a policy would declare as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One switch: the value that narrows, and the deny that it makes. `tasks` `None` is every task.

    `says` completes "… in the device profile: ". A key with a dot stands in a dictionary inside the payload.
    """

    id: str
    says: str
    keys: Mapping[str, str]
    """By the type of the payload."""
    narrows: bool = False
    to: To = "all"
    tasks: frozenset[str] | None = None
    modality: Modality | None = None


def _intelligence(key: str, restriction: str | None) -> dict[str, str]:
    return {INTELLIGENCE: key} | ({} if restriction is None else {RESTRICTIONS: restriction})


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        id="external-intelligence-off",
        says="external intelligence is off",
        keys={EXTERNAL: "Enabled", RESTRICTIONS: "allowExternalIntelligenceIntegrations"},
        to="partner",
    ),
    Setting(
        id="external-sign-in-off",
        says="external intelligence may not be signed in to",
        keys={EXTERNAL: "AllowSignIn", RESTRICTIONS: "allowExternalIntelligenceIntegrationsSignIn"},
        to="signed-in",
    ),
    Setting(
        id="writing-tools-off",
        says="Writing Tools are off",
        keys=_intelligence("AllowWritingTools", "allowWritingTools"),
        tasks=frozenset({"rewrite", "proofread", "article_summary"}),
    ),
    Setting(
        id="image-playground-off",
        says="Image Playground is off",
        keys=_intelligence("AllowImagePlayground", "allowImagePlayground"),
        tasks=frozenset({"image"}),
    ),
    Setting(
        id="genmoji-off",
        says="Genmoji are off",
        keys=_intelligence("AllowGenmoji", "allowGenmoji"),
        tasks=frozenset({"image"}),
    ),
    Setting(
        id="image-wand-off",
        says="Image Wand is off",
        keys=_intelligence("AllowImageWand", "allowImageWand"),
        tasks=frozenset({"image"}),
    ),
    Setting(
        id="visual-summary-off",
        says="summaries of what is seen are off",
        keys=_intelligence("AllowVisualIntelligenceSummary", "allowVisualIntelligenceSummary"),
        tasks=frozenset({"article_summary"}),
        modality="image",
    ),
    Setting(
        id="mail-summary-off",
        says="summaries in Mail are off",
        keys=_intelligence("Apps.Mail.AllowSummary", "allowMailSummary"),
        tasks=frozenset({"article_summary"}),
    ),
    Setting(
        id="smart-replies-off",
        says="smart replies in Mail are off",
        keys=_intelligence("Apps.Mail.AllowSmartReplies", "allowMailSmartReplies"),
        tasks=frozenset({"smart_reply", "email_reply"}),
    ),
    Setting(
        id="safari-summary-off",
        says="summaries in Safari are off",
        keys=_intelligence("Apps.Safari.AllowSummary", "allowSafariSummary"),
        tasks=frozenset({"article_summary"}),
    ),
    Setting(
        id="notes-transcription-off",
        says="transcription in Notes is off",
        keys=_intelligence("Apps.Notes.AllowTranscription", "allowNotesTranscription"),
        tasks=frozenset({"transcribe"}),
    ),
    Setting(
        id="notes-summary-off",
        says="summaries of transcriptions in Notes are off",
        keys=_intelligence("Apps.Notes.AllowTranscriptionSummary", "allowNotesTranscriptionSummary"),
        tasks=frozenset({"article_summary"}),
    ),
    Setting(
        id="calendar-editing-off",
        says="editing the calendar in natural language is off",
        keys=_intelligence("Apps.Calendar.AllowNaturalLanguageEditing", None),
        tasks=frozenset({"action"}),
    ),
    Setting(
        id="dictation-on-device",
        says="dictation stays on the device",
        keys=_intelligence("ForceOnDeviceOnlyDictation", "forceOnDeviceOnlyDictation"),
        narrows=True,
        to="outside",
        tasks=frozenset({"transcribe"}),
    ),
    Setting(
        id="translation-on-device",
        says="translation stays on the device",
        keys=_intelligence("ForceOnDeviceOnlyTranslation", "forceOnDeviceOnlyTranslation"),
        narrows=True,
        to="outside",
        tasks=TRANSLATION,
    ),
    Setting(
        id="assistant-off",
        says="the assistant is off",
        keys={SIRI: "Enabled", RESTRICTIONS: "allowAssistant"},
    ),
    Setting(
        id="assistant-model-off",
        says="the assistant's model is off",
        keys={SIRI: "AllowSiriAI"},
        tasks=frozenset({"open_question", "action"}),
    ),
    Setting(
        id="dictation-off",
        says="dictation is off",
        keys={RESTRICTIONS: "allowDictation"},
        tasks=frozenset({"transcribe"}),
    ),
)
