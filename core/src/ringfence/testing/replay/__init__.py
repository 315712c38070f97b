"""Records what a provider answered, and answers from the record without it. Works for every provider.

    async with AsyncAssistant(policy=…, providers={"openai": recording(OpenAIProvider(), "answers.jsonl")}):
        ...  # once, with the real provider
    async with AsyncAssistant(policy=…, providers={"openai": replaying("answers.jsonl")}):
        ...  # ever after: no key, no network

It stands above the wire, so no credential can get into the file. Of the request, nothing is written but digests; of the
answer, everything, if each part of the request carries labels and all of them are in `allow_labels`. Otherwise the
answer is written with placeholders, and the digests are made of what may be written alone: a scrubbed text counts with
its kind and length class, so no guess at it can be tried out on the file. Requests that differ in nothing else are told
apart by their order.
"""

from ringfence.testing.replay.recorder import recording
from ringfence.testing.replay.replayer import replaying

__all__ = ["recording", "replaying"]
