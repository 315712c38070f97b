"""What each task tells the model when the app gives no instructions of its own."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ringfence.request import Message

INSTRUCTIONS: Final = MappingProxyType(
    {
        "notification_summary": (
            "Extract and present the main key point of the input text in one very short sentence, including essential "
            "details like dates or locations if necessary."
        ),
        "article_summary": (
            "Provide a concise, objective summary of the input text in up to three sentences, focusing on key actions "
            "and intentions without using second or third person pronouns."
        ),
        "smart_reply": "Write one short reply to the message of the user, as the person who received it.",
        "email_reply": "Write a polite and complete reply to the e-mail of the user, as the person who received it.",
        "rewrite": (
            "You're an AI assistant for text re-writing. Rewrite the input text to make it clearer and better written "
            "while retaining its meaning and its language."
        ),
        "proofread": (
            "You're an AI assistant for text re-writing. Correct the spelling, grammar and punctuation of the input "
            "text. Change nothing else, and answer with the corrected text only."
        ),
        "extract": "Extract the information from the input text as JSON. Use only what the text says.",
    }
)
"""By task; `respond(task=…)` sends it as the system message unless `instructions=` is given (`""` for none).

The wording of the summaries and of the rewrite is the one that small open models were trained on.
"""

_TEXTS: Final = frozenset(INSTRUCTIONS.values())


def is_ours(message: Message) -> bool:
    """Whether `message` holds nothing but words of this module, whatever labels its input has given it."""
    return message.role == "system" and bool(message.parts) and message.text in _TEXTS and len(message.parts) == 1
