"""What each task tells the model when the app gives no instructions of its own."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

INSTRUCTIONS: Final = MappingProxyType(
    {
        "notification_summary": "Summarize these messages for a notification in one sentence. Say who wants what.",
        "article_summary": "Summarize the text in a few sentences. Keep to what it says.",
        "smart_reply": "Write one short reply to the last message, as the person who received it.",
        "email_reply": "Write a polite and complete reply to this e-mail, as the person who received it.",
        "rewrite": "Rewrite the text so that it is clear and well written. Keep its meaning and its language.",
        "proofread": "Correct spelling, grammar and punctuation. Change nothing else. Answer with the text only.",
        "extract": "Extract the information from the text. Use only what the text says.",
    }
)
"""By task; `respond(task=…)` sends it as the system message unless `instructions=` is given (`""` for none)."""
