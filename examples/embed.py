"""Vectors on the device: the sentence nearest in meaning. Run `ringfence models pull all-minilm-l6-v2` first."""

from ringfence import Assistant

SENTENCES = ["The bill is due on Friday.", "A cat sleeps on the sofa.", "Please pay the invoice this week."]

with Assistant() as assistant:
    vectors = assistant.embed(SENTENCES).output.vectors
    for sentence, vector in zip(SENTENCES[1:], vectors[1:], strict=True):
        nearness = sum(a * b for a, b in zip(vectors[0], vector, strict=True))
        print(f"{nearness:.2f}  {sentence}")
