"""What the verbs for pictures and sound add to a request, and what they require of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ringfence.checks import require
from ringfence.errors import InvalidRequest, OutputInvalid
from ringfence.request import FilePart, Settings

if TYPE_CHECKING:
    from ringfence.assistant.build import RequestOptions
    from ringfence.request import Part
    from ringfence.response import Response

ResponseT = TypeVar("ResponseT", bound="Response[None]")


def with_settings(options: RequestOptions, **given: str | int | None) -> RequestOptions:
    """`options` with those of the settings `given` that are not `None`.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """
    said = {name: value for name, value in given.items() if value is not None}
    settings: object = options.get("settings", Settings())
    if not said or not isinstance(settings, Settings):
        return options  # the options are checked where the request is built
    return {**options, "settings": replace(settings, **said)}  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def audio_part(audio: bytes | FilePart, media_type: str) -> FilePart:
    """The sound as a part.

    Raises:
        InvalidRequest: it is neither bytes nor a part, or there is none.
    """
    part: object = FilePart(audio, media_type=media_type) if isinstance(audio, bytes) else audio
    if not isinstance(part, FilePart):
        raise InvalidRequest("transcribe takes the bytes of a sound", way_out="transcribe(path.read_bytes())")
    require(bool(part.data), "the sound is empty", "transcribe(path.read_bytes())")
    return part


def require_parts(response: ResponseT, parts: Sequence[Part], what: str) -> ResponseT:
    """`response`, which must hold `parts`.

    Raises:
        OutputInvalid: there are none.
    """
    if parts:
        return response
    missing = OutputInvalid(
        f"the answer holds no {what} (finish_reason={response.finish_reason})",
        partial_text=response.text,
        way_out=f"route task {response.receipt.task} to another recipient, or ask differently",
    )
    missing.response, missing.receipt = response, response.receipt
    raise missing


__all__ = ["audio_part", "require_parts", "with_settings"]
