"""What the Gemini API answers, as typed structs: the fields used here, in the names of the wire.

The structs of a part refuse fields they do not know, so that nothing is lost silently: `decode` then reads the parts
one by one and keeps what it does not know as it came (`Part.rest`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

REST = "(rest)"
"""No field of the API has such a name."""

_EMPTY: list[Any] = []


class FunctionCall(
    msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, frozen=True, gc=False
):
    """A call the model asks for; `args` is the JSON text of an object, as the API wrote it.

    `partial_args` and `will_continue` are of a call that comes in pieces, which is never asked for here.
    """

    name: str = ""
    args: Raw = Raw(b"{}")
    id: str | None = None
    partial_args: list[Raw] = _EMPTY
    will_continue: bool = False


class Blob(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, frozen=True, gc=False):
    """Bytes in base64."""

    mime_type: str = "application/octet-stream"
    data: str = ""
    display_name: str | None = None


class Part(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One part of an answer. `rest` is the JSON of the fields that are not listed here, by name."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    rest: dict[str, Raw] = msgspec.field(default_factory=dict[str, Raw], name=REST)


class Content(msgspec.Struct, rename="camel", gc=False):
    """The parts of one chunk."""

    parts: list[Part] = _EMPTY


class _CandidateFields(msgspec.Struct, rename="camel", gc=False):
    """What stands beside the parts; the raw fields are kept for whoever reads an answer's opaque state."""

    finish_reason: str | None = None
    index: int = 0
    grounding_metadata: Raw | UnsetType = UNSET
    citation_metadata: Raw | UnsetType = UNSET
    url_context_metadata: Raw | UnsetType = UNSET
    logprobs_result: Raw | UnsetType = UNSET
    continuation_token: Raw | UnsetType = UNSET


class Candidate(_CandidateFields, gc=False):
    """One answer of those asked for; only one ever is."""

    content: Content | None = None


class PromptFeedback(msgspec.Struct, rename="camel", gc=False):
    """Why the prompt was not answered."""

    block_reason: str | None = None


class UsageMetadata(msgspec.Struct, rename="camel", gc=False):
    """Tokens so far. The prompt's include the cached ones; the candidates' do not include the thoughts."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    cached_content_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class Failure(msgspec.Struct, rename="camel", gc=False):
    """A `google.rpc.Status`. Its message is not even read: it may quote the request."""

    code: int = 0
    status: str = ""
    details: list[dict[str, Any]] = _EMPTY


class Chunk(msgspec.Struct, rename="camel", gc=False):
    """A whole answer, or one event of a streamed one."""

    candidates: list[Candidate] = _EMPTY
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    response_id: str = ""
    error: Failure | None = None


class FailureBody(msgspec.Struct, gc=False):
    """The body of a refusal."""

    error: Failure = msgspec.field(default_factory=Failure)


class TokenCount(msgspec.Struct, rename="camel", gc=False):
    """The answer of `:countTokens`."""

    total_tokens: int


class ContentEmbedding(msgspec.Struct, gc=False):
    """One vector."""

    values: list[float]


class EmbeddingBatch(msgspec.Struct, rename="camel", gc=False):
    """The answer of `:batchEmbedContents`."""

    embeddings: list[ContentEmbedding] = _EMPTY
    usage_metadata: UsageMetadata | None = None


class _RawContent(msgspec.Struct, gc=False):
    parts: list[dict[str, Raw]] = _EMPTY


class _RawCandidate(_CandidateFields, gc=False):
    content: _RawContent | None = None


class _RawChunk(msgspec.Struct, rename="camel", gc=False):
    candidates: list[_RawCandidate] = _EMPTY


_chunk = msgspec.json.Decoder(Chunk)
_raw_chunk = msgspec.json.Decoder(_RawChunk)
_part = msgspec.json.Decoder(Part)
_fields = msgspec.json.Decoder(dict[str, Raw])
_KINDS = ("text", "functionCall", "inlineData")
_KNOWN = frozenset((*_KINDS, "thought", "thoughtSignature"))


def decode(data: bytes) -> Chunk:
    """One answer or event.

    Raises:
        msgspec.DecodeError: it is none.
    """
    try:
        return _chunk.decode(data)
    except msgspec.ValidationError:
        return _decode_slowly(data)


def _decode_slowly(data: bytes) -> Chunk:
    """The same where a part holds a field that `Part` does not know."""
    raw = _raw_chunk.decode(data)
    outer = {key: value for key, value in _fields.decode(data).items() if key != "candidates"}
    chunk = _chunk.decode(msgspec.json.encode(outer))
    chunk.candidates = [_candidate(candidate) for candidate in raw.candidates]
    return chunk


def _candidate(raw: _RawCandidate) -> Candidate:
    parts = None if raw.content is None else Content(parts=[_read(part) for part in raw.content.parts])
    known = {name: getattr(raw, name) for name in _CandidateFields.__struct_fields__}
    return Candidate(**known, content=parts)


def _read(fields: dict[str, Raw]) -> Part:
    """A part, read as far as it is known; a kind of part that is not known is `rest` altogether."""
    kind = next((name for name in _KINDS if name in fields), None)
    try:
        known = {name: raw for name, raw in fields.items() if name in _KNOWN} if kind else {}
        part = _part.decode(msgspec.json.encode(known))
    except msgspec.ValidationError:
        known, part = {}, Part()
    part.rest = {name: Raw(bytes(raw)) for name, raw in fields.items() if name not in known}
    return part
