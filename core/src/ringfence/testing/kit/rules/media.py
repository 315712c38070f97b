"""Rules on vectors, pictures, sound and token counts."""

from __future__ import annotations

import math

import pytest

from ringfence.errors import Unsupported
from ringfence.provider import CountsTokens, Embeds
from ringfence.request import FilePart, ImagePart, Request
from ringfence.response import Media, Usage
from ringfence.testing.kit.base import Subject
from ringfence.testing.kit.expect import expect, fail, named
from ringfence.testing.kit.material import PNG, WAV, asking, carries
from ringfence.testing.kit.opened import Outcome
from ringfence.testing.scenes import Scene

_VECTORS = ((0.0, 3.0, 4.0), (2.0, 0.0, 0.0), (0.0, 0.0, -5.0))
_UNIT = ((0.0, 0.6, 0.8), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0))


def scene_for(kind: str) -> Scene:
    """A scene that answers a plain request of `kind`."""
    match kind:
        case "embed":
            return Scene(vectors=_VECTORS, usage=Usage(input_tokens=11))
        case "draw":
            return Scene(text=(), media=(ImagePart(PNG, media_type="image/png"),))
        case "speak":
            return Scene(text=(), media=(FilePart(WAV, media_type="audio/wav"),))
        case _:
            return Scene()


class MediaRules(Subject):
    """What is not text takes the same way: a plan, a grant, events."""

    @pytest.mark.parametrize("kind", ["embed", "draw", "transcribe", "speak"])
    def test_a_task_that_is_not_declared_is_refused(self, kind: str) -> None:
        """A task that the model is not declared for is refused in `plan`; one that it is declared for is answered."""
        if self.bench.can(kind, kind):
            self.bench.answer(asking(kind=kind), scene_for(kind), kind=kind)
            return
        outcome = self.bench.outcome(asking(kind=kind), scene_for(kind), kind=kind)
        expect(not outcome.seen, f"{kind} is not declared, and something was sent")
        expect(outcome.plan is None, f"{kind} is not declared, and plan() accepted it")
        expect(isinstance(outcome.error, Unsupported), f"{kind} is refused with {named(outcome.error)}")

    def test_vectors_have_norm_one_and_keep_their_order(self) -> None:
        """Each text has its vector, in order, of the stated length and norm 1; undeclared, the task is refused."""
        if not self._kit_declared("embed"):
            return
        request = asking(kind="embed")
        found = self.bench.answer(request, scene_for("embed"), kind="embed").embeddings
        if found is None:
            fail("embed() returned nothing")
        expect(len(found.vectors) == len(_VECTORS), f"{len(found.vectors)} vectors for {len(_VECTORS)} texts")
        for vector in found.vectors:
            expect(len(vector) == found.dimensions, f"a vector of {len(vector)} where {found.dimensions} is stated")
            expect(math.isclose(math.hypot(*vector), 1, abs_tol=1e-3), "a vector's norm is not 1")
        if self.bench.backend is None:
            self._kit_alone(request, found.vectors)
            return
        expect(found.input_tokens >= 0, "input_tokens is negative")
        for vector, unit in zip(found.vectors, _UNIT, strict=True):
            near = all(math.isclose(one, other, abs_tol=1e-3) for one, other in zip(vector, unit, strict=True))
            expect(near, "the vectors are not those of the backend, in its order")

    def _kit_alone(self, request: Request, vectors: tuple[tuple[float, ...], ...]) -> None:
        """Each text asked alone has the vector that it has among others."""
        for part, vector in zip(request.messages[0].parts, vectors, strict=True):
            found = self.bench.answer(asking(part, kind="embed"), kind="embed").embeddings
            if found is None:
                fail("embed() returned nothing")
            nearness = sum(one * other for one, other in zip(found.vectors[0], vector, strict=True))
            expect(nearness > 1 - 1e-3, "a text alone has another vector than among others")

    def test_pictures_come_as_media(self) -> None:
        """A picture that is drawn arrives as a media event with its bytes; undeclared, the task is refused."""
        if not self._kit_declared("draw"):
            return
        outcome = self.bench.answer(asking("a kite", kind="draw"), scene_for("draw"), kind="draw")
        parts = [event.part for event in _media(outcome) if isinstance(event.part, ImagePart)]
        expect(len(parts) == 1, f"{len(parts)} pictures came where one was drawn")
        if self.bench.backend is not None:
            expect(parts[0].data == PNG, "the picture's bytes are not those of the backend")
            expect(b"a kite" in outcome.body, "the description of the picture was not sent")

    def test_speech_comes_as_media(self) -> None:
        """Speech arrives as a media event with an audio media type; undeclared, the task is refused."""
        if not self._kit_declared("speak"):
            return
        outcome = self.bench.answer(asking("say this", kind="speak"), scene_for("speak"), kind="speak")
        parts = [event.part for event in _media(outcome) if isinstance(event.part, FilePart)]
        expect(len(parts) == 1, f"{len(parts)} sounds came where one was spoken")
        expect(parts[0].media_type.startswith("audio/"), f"speech of the type {parts[0].media_type}")
        if self.bench.backend is not None:
            expect(WAV in parts[0].data or parts[0].data in WAV, "the sound's bytes are not those of the backend")
            expect(b"say this" in outcome.body, "the words to be spoken were not sent")

    def test_speech_is_transcribed(self) -> None:
        """Sound reaches the model as its bytes and comes back as text; undeclared, the task is refused."""
        if not self._kit_declared("transcribe"):
            return
        scene = Scene(text=("what ", "was said"))
        outcome = self.bench.answer(asking(kind="transcribe"), scene, kind="transcribe")
        if self.bench.backend is not None:
            expect(outcome.message is not None and outcome.message.text == "what was said", "the words are others")
            expect(carries(outcome.body, WAV), "the sound was not sent")

    def _kit_declared(self, kind: str) -> bool:
        """Whether `kind` is declared; where it is not, it must be refused."""
        if self.bench.can(kind, kind):
            return True
        self.bench.refused(asking(kind=kind), kind, kind)
        return False

    def test_tokens_are_counted_under_a_grant(self) -> None:
        """`count_tokens` spends its grant if it sends, and counts what the model will be given."""
        declared = self.bench.can("count_tokens")
        made = self.bench.make()
        expect(isinstance(made, CountsTokens) or not declared, "count_tokens is declared, and there is no such method")
        if not declared:
            return
        self.bench.play(Scene(usage=Usage(input_tokens=4711)))
        counts = [self.bench.run(self._kit_count(words)) for words in ("short", "short " * 200)]
        if self.bench.backend is None:
            expect(0 < counts[0] < counts[1], f"two hundred words count {counts[1]} tokens, one {counts[0]}")
        elif self.bench.seen():
            expect(counts == [4711, 4711], f"the backend counted 4711 tokens, reported were {counts}")

    async def _kit_count(self, words: str) -> int:
        found = await self.bench.opened()
        ready = await found.ready(asking(words))
        provider = found.provider
        if not isinstance(provider, CountsTokens):
            fail("there is no count_tokens")
        before = len(self.bench.seen())
        count = await provider.count_tokens(ready.plan, ready.grant)
        expect(len(self.bench.seen()) == before or ready.grant.spent, "tokens were counted elsewhere without a grant")
        ready.grant.revoke()
        return count

    def test_embed_is_there_where_it_is_declared(self) -> None:
        """A provider whose manifest says `embed` has the method."""
        declared = "embed" in self.bench.make().manifest.capabilities
        expect(isinstance(self.bench.make(), Embeds) or not declared, "embed is declared, and there is no such method")


def _media(outcome: Outcome) -> list[Media]:
    return [event for _, event in outcome.events if isinstance(event, Media)]


__all__ = ["MediaRules", "scene_for"]
