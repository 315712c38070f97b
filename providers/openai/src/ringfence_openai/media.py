"""Pictures, speech and transcripts: one request, one answer, each with a route of its own."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
from msgspec import Struct

from ringfence.errors import Unsupported
from ringfence.provider import ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import FilePart, ImagePart, JsonValue, Request, Role, TextPart
from ringfence.response import Adjustment, Finish, Media, ProviderEvent, Usage, UsageReport
from ringfence_openai import settings
from ringfence_openai.content import encoded, file_name, no_tools, require, texts
from ringfence_openai.extras import merged
from ringfence_openai.faults import Malformed
from ringfence_openai.native import Native, Upload
from ringfence_openai.options import RecipientOptions
from ringfence_openai.transcript import TranscriptDecoder, whole_transcript

_IMAGES, _SPEECH, _TRANSCRIPTIONS = "/images/generations", "/audio/speech", "/audio/transcriptions"

_DEFAULT_VOICE = "alloy"
_DEFAULT_FORMAT = "mp3"
_SOUND_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


# ---------------------------------------------------------------- pictures


def plan_image(request: Request, recipient: Recipient, card: ModelCard, options: RecipientOptions) -> Plan[object]:
    """The plan of a request for pictures.

    Raises:
        Unsupported: the model draws none, or the request holds something else than text; tools or a schema.
    """
    require(card, "draw", "task", "draw")
    no_tools(request)
    fields, adjustments = settings.apply_settings(request.settings, settings.IMAGE, what="drawing")
    prompt = texts([_texts(request, "system"), _texts(request, "user", "assistant")])
    if len(request.messages) > 1:
        detail = "the API takes one text, so all turns stand in it one after the other"
        adjustments.append(Adjustment(setting="messages", action="emulated", detail=detail))
    body = merged(_IMAGES, {"model": recipient.model, "prompt": prompt, **fields}, request, options)
    return _plan(request, recipient, card, _IMAGES, body, pictures_of, adjustments)


class Picture(Struct):
    """One picture; `b64_json` is its bytes."""

    b64_json: str | None = None


class PictureUsage(Struct):
    """Tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class Pictures(Struct):
    """The answer of `/images/generations`."""

    data: list[Picture]
    output_format: str | None = None
    usage: PictureUsage | None = None


_decode_pictures = msgspec.json.Decoder(Pictures).decode


def pictures_of(body: bytes, media_type: str) -> list[ProviderEvent]:  # noqa: ARG001  (every body here is JSON)
    """The events of an answer with pictures.

    Raises:
        Malformed: it holds none, or addresses instead.
    """
    try:
        answer = _decode_pictures(body)
        pictures = [b64decode(one.b64_json, validate=True) for one in answer.data if one.b64_json]
    except (msgspec.DecodeError, UnicodeDecodeError, Base64Error, ValueError):
        raise Malformed from None
    # A server that answers with addresses instead of pictures is not followed there.
    if not pictures or len(pictures) < len(answer.data):
        raise Malformed
    kind = "svg+xml" if answer.output_format == "svg" else answer.output_format
    events: list[ProviderEvent] = [
        Media(index, ImagePart(data, media_type=f"image/{kind}" if kind else _picture_type(data)))
        for index, data in enumerate(pictures)
    ]
    if answer.usage is not None:
        used = Usage(input_tokens=answer.usage.input_tokens, output_tokens=answer.usage.output_tokens)
        events.append(UsageReport(usage=used))
    return [*events, Finish("stop")]


_SIGNATURES = ((b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"RIFF", "image/webp"))


def _picture_type(data: bytes) -> str:
    return next((kind for start, kind in _SIGNATURES if data.startswith(start)), "image/png")


# ---------------------------------------------------------------- speech


def plan_speak(request: Request, recipient: Recipient, card: ModelCard, options: RecipientOptions) -> Plan[object]:
    """The plan of a request for speech. What the system says is how to speak; what the user says is spoken.

    Raises:
        Unsupported: the model does not speak, or the request holds something else than text; tools or a schema.
    """
    require(card, "speak", "task", "speak")
    no_tools(request)
    fields, adjustments = settings.apply_settings(request.settings, settings.SPEECH, what="speech")
    if "voice" not in fields:
        fields["voice"] = _DEFAULT_VOICE
        detail = f"the API has no default; '{_DEFAULT_VOICE}' speaks"
        adjustments.append(Adjustment(setting="voice", action="changed", detail=detail))
    if how := _texts(request, "system"):
        fields["instructions"] = how
    body = merged(
        _SPEECH,
        {"model": recipient.model, "input": _texts(request, "user", "assistant"), **fields},
        request,
        options,
    )
    return _plan(request, recipient, card, _SPEECH, body, partial(sound_of, _format(body)), adjustments)


def _format(body: Mapping[str, JsonValue]) -> str:
    given = body.get("response_format")
    return given if isinstance(given, str) else _DEFAULT_FORMAT


def sound_of(kind: str, body: bytes, media_type: str) -> list[ProviderEvent]:
    """The events of speech in the format `kind`.

    Raises:
        Malformed: there is no sound.
    """
    if not body or media_type == "application/json":
        raise Malformed
    known = _SOUND_TYPES.get(kind) or (media_type if media_type.startswith("audio/") else "application/octet-stream")
    return [Media(0, FilePart(body, media_type=known, name=f"speech.{kind}")), Finish("stop")]


# ---------------------------------------------------------------- transcripts


def plan_transcribe(request: Request, recipient: Recipient, card: ModelCard, options: RecipientOptions) -> Plan[object]:
    """The plan of a request for a transcript of the one sound in it. What is said beside the sound guides the model.

    Raises:
        Unsupported: the model does not transcribe, or there is not one sound; tools or a schema.
    """
    require(card, "transcribe", "task", "transcribe")
    no_tools(request)
    sounds = [part for message in request.messages for part in message.parts if isinstance(part, FilePart)]
    if len(sounds) != 1:
        raise Unsupported(
            f"the request holds {len(sounds)} files to transcribe", setting="file", way_out="give one file a request"
        )
    fields, adjustments = settings.apply_settings(request.settings, settings.TRANSCRIPTION, what="transcription")
    _shorten_language(fields, adjustments)
    if prompt := _texts(request, "system", "user", "assistant", but=FilePart):
        fields["prompt"] = prompt
    if request.stream:
        fields["stream"] = True
    body = merged(_TRANSCRIPTIONS, {"model": recipient.model, **fields}, request, options)
    native = Native(
        recipient=recipient,
        route=_TRANSCRIPTIONS,
        body=body,
        content=b"",
        whole=whole_transcript,
        decoder=TranscriptDecoder if request.stream else None,
        upload=Upload(field="file", name=file_name(sounds[0]), data=sounds[0].data, media_type=sounds[0].media_type),
    )
    return Plan(request=request, card=card, native=native, adjustments=tuple(adjustments))


def _shorten_language(fields: dict[str, JsonValue], adjustments: list[Adjustment]) -> None:
    """The API takes ISO 639-1, the first part of a BCP 47 tag."""
    tag = fields.get("language")
    if isinstance(tag, str) and "-" in tag:
        fields["language"] = tag.partition("-")[0]
        detail = "the API takes the language alone, without its region"
        adjustments.append(Adjustment(setting="language", action="changed", detail=detail))


# ---------------------------------------------------------------- common


def _plan(  # noqa: PLR0917  (each is used once)
    request: Request,
    recipient: Recipient,
    card: ModelCard,
    route: str,
    body: Mapping[str, JsonValue],
    whole: Callable[[bytes, str], Sequence[ProviderEvent]],
    adjustments: Sequence[Adjustment],
) -> Plan[object]:
    native = Native(recipient=recipient, route=route, body=body, content=encoded(body), whole=whole)
    return Plan(request=request, card=card, native=native, adjustments=tuple(adjustments))


def _texts(request: Request, *roles: Role, but: type[FilePart] | None = None) -> str:
    """What was said in the turns of `roles`, in order.

    Raises:
        Unsupported: something else than text is among it; parts of the type `but` are passed over.
    """
    found: list[str] = []
    for message in request.messages:
        for part in message.parts if message.role in roles else ():
            if isinstance(part, TextPart):
                found.append(part.text)
            elif but is None or not isinstance(part, but):
                raise Unsupported("this task takes text only", setting="parts", way_out="give text parts")
    return texts(found)


__all__ = [
    "Picture",
    "PictureUsage",
    "Pictures",
    "pictures_of",
    "plan_image",
    "plan_speak",
    "plan_transcribe",
    "sound_of",
]
