"""What a good request gets: streamed, padded, whole answers."""

from __future__ import annotations

from support import House


async def test_a_sealed_request_is_answered_in_sealed_chunks_with_an_end(house: House) -> None:
    inner = await house.ask(b'{"q":1}')

    assert (inner.status, inner.words, inner.whole) == (200, ["hello", "world"], True)
    assert inner.fields["content-type"] == "text/event-stream"
    assert [(call.path, call.body, call.tenant) for call in house.service.calls] == [
        ("/v1/chat/completions", b'{"q":1}', None)
    ]
