"""What becomes of an answer on its way: whole and authentic, or an error that says so. Never a short answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from providers.house.tests.client.support import PROMPT, TEXT, WORDS, Client, Pieces, ask, refusing, saying, whole

from ringfence.errors import (
    AuthenticationFailed,
    ConnectFailed,
    Overloaded,
    RateLimited,
    RequestRejected,
    StreamBroken,
)
from ringfence_house.errors import HouseProtocolError, NodeUnavailable, StreamTruncated
from ringfence_house.protocol.names import KEY_PROBLEM, RESPONSE_TYPE
from ringfence_house.testing import RESET, HouseServer, Inside, Outside
from ringfence_house.testing.engine import Broken

# The nonce, the head, four words, the finish, the mark of the end, and the final chunk.
PIECES = 2 + len(WORDS) + 2 + 1


async def test_an_honest_answer_is_whole(house: HouseServer) -> None:
    asked = await ask(house)
    assert asked.text == TEXT
    assert asked.response is not None
    assert asked.response.receipt.attestation == "DEVELOPMENT (software-dev)"
    digests = {f"sha256:{machine.evidence.digest}" for machine in house.fleet.machines}
    assert asked.response.receipt.attestation_digest in digests


@pytest.mark.parametrize("place", range(PIECES))
@pytest.mark.parametrize("how", ["ended", "reset"])
async def test_an_answer_cut_at_any_chunk_is_an_error_with_its_part(house: HouseServer, place: int, how: str) -> None:
    async def cut(pieces: Pieces) -> Pieces:
        for _ in range(place):
            yield await anext(pieces)
        if how == "reset":
            raise Broken

    house.script.sealed = cut
    asked = await ask(house)
    assert isinstance(asked.error, StreamBroken | ConnectFailed)
    assert TEXT.startswith(asked.partial)
    if how == "ended":
        assert asked.partial == "".join(WORDS[: max(place - 2, 0)])


def _dropped(pieces: list[bytes]) -> list[bytes]:
    return pieces[:3] + pieces[4:]


def _reordered(pieces: list[bytes]) -> list[bytes]:
    return [*pieces[:3], pieces[4], pieces[3], *pieces[5:]]


def _doubled(pieces: list[bytes]) -> list[bytes]:
    return [*pieces[:4], pieces[3], *pieces[4:]]


def _promoted(pieces: list[bytes]) -> list[bytes]:
    """The fourth chunk as the final one: a length of 0, and what was sealed without its length."""
    return [*pieces[:5], b"\0" + pieces[5][2 if pieces[5][0] & 0x40 else 1 :]]


def _demoted(pieces: list[bytes]) -> list[bytes]:
    """The final chunk as an ordinary one."""
    last = pieces[-1][1:]
    return [*pieces[:-1], bytes([len(last)]) + last]


def _bit(pieces: list[bytes]) -> list[bytes]:
    changed = bytearray(pieces[4])
    changed[-1] ^= 1
    return [*pieces[:4], bytes(changed), *pieces[5:]]


def _followed(pieces: list[bytes]) -> list[bytes]:
    return [*pieces, b"more"]


def _again(pieces: list[bytes]) -> list[bytes]:
    return [*pieces, *pieces]


def _oversized(pieces: list[bytes]) -> list[bytes]:
    return [*pieces[:3], b"\xbf\xff\xff\xff", *pieces[3:]]


@pytest.mark.parametrize(
    "change", [_dropped, _reordered, _doubled, _promoted, _demoted, _bit, _followed, _again, _oversized]
)
async def test_an_altered_answer_is_no_answer(
    house: HouseServer, change: Callable[[list[bytes]], Sequence[bytes]]
) -> None:
    house.script.sealed = whole(change)
    asked = await ask(house)
    assert isinstance(asked.error, StreamBroken | HouseProtocolError)
    assert asked.response is None
    assert TEXT.startswith(asked.partial)


async def test_what_came_before_an_altered_chunk_is_not_lost_although_one_read_brings_both(house: HouseServer) -> None:
    house.script.sealed = whole(lambda pieces: [b"".join(_bit(pieces))])
    asked = await ask(house)
    assert isinstance(asked.error, StreamBroken)
    assert asked.partial == "".join(WORDS[:2])


async def test_the_answer_to_another_request_is_none(house: HouseServer) -> None:
    first: list[bytes] = []

    async def keep_then_replay(pieces: Pieces) -> Pieces:
        kept = [piece async for piece in pieces]
        first[:] = first or kept
        for piece in first:
            yield piece

    house.script.sealed = keep_then_replay
    async with Client(house) as client:
        assert (await client.ask()).text == TEXT
        assert isinstance((await client.ask()).error, HouseProtocolError)


async def test_a_spliced_tail_is_noticed(house: HouseServer) -> None:
    first: list[bytes] = []

    async def splice(pieces: Pieces) -> Pieces:
        kept = [piece async for piece in pieces]
        tail = first[5:] if first else kept[5:]
        first[:] = first or kept
        for piece in [*kept[:5], *tail]:
            yield piece

    house.script.sealed = splice
    async with Client(house) as client:
        assert (await client.ask()).text == TEXT
        asked = await client.ask()
    assert isinstance(asked.error, StreamBroken | HouseProtocolError)
    assert TEXT.startswith(asked.partial)


async def test_what_a_run_raises_is_a_truncated_stream(house: HouseServer) -> None:
    """The core tells the app in its own words; the cause is ours."""
    house.script.sealed = whole(lambda pieces: pieces[:-1])
    asked = await ask(house)
    assert asked.partial == TEXT
    assert asked.error is not None
    assert isinstance(asked.error.__cause__, StreamTruncated)


LONG_PROBLEM = b'{"type":"%b","more":"%b"}' % (KEY_PROBLEM.encode(), b"x" * 5000)
PLAIN = b'{"choices":[{"message":{"content":"' + PROMPT.encode() + b'"}}]}'


@pytest.mark.parametrize(
    ("outside", "error"),
    [
        (Outside(status=200, media_type="application/json", body=PLAIN), HouseProtocolError),
        (Outside(status=200, media_type="text/event-stream", body=b"data: [DONE]\n\n"), HouseProtocolError),
        (Outside(status=200, media_type="message/ohttp-res", body=b"x" * 64), HouseProtocolError),
        (Outside(status=204, media_type=RESPONSE_TYPE), HouseProtocolError),
        (Outside(status=200, media_type=RESPONSE_TYPE), StreamTruncated),
        (Outside(status=200, media_type=RESPONSE_TYPE, body=b"x" * 16 + b"\x3f" + b"x" * 99), HouseProtocolError),
        (Outside(status=200, media_type=RESPONSE_TYPE, body=b"x" * 16 + b"\xff" * 100_000), HouseProtocolError),
        (Outside(status=302, body=PLAIN), HouseProtocolError),
        (Outside(status=400, body=PLAIN), RequestRejected),
        (Outside(status=400, media_type="application/problem+json", body=b"[" * 5000), RequestRejected),
        (Outside(status=400, media_type="application/problem+json", body=LONG_PROBLEM), RequestRejected),
        (Outside(status=401, body=PLAIN), RequestRejected),
        (Outside(status=404, body=PLAIN), RequestRejected),
        (Outside(status=429, body=PLAIN), RequestRejected),
        (Outside(status=500, body=PLAIN), HouseProtocolError),
    ],
    ids=lambda value: f"{value.status} {value.media_type}" if isinstance(value, Outside) else "",
)
async def test_what_stands_outside_is_a_hint_and_never_shown(
    house: HouseServer, outside: Outside, error: type[Exception]
) -> None:
    house.script.outside = lambda machine: outside
    asked = await ask(house, attempts=3)
    assert isinstance(asked.error, error)
    assert "canary" not in f"{asked.error} {asked.error!r} {asked.error.__context__!r}"
    assert len(house.received) == 1


@pytest.mark.parametrize("status", [502, 503, 504, None])
async def test_a_node_that_does_not_answer_makes_way_for_another(house: HouseServer, status: int | None) -> None:
    down = {house.fleet.machines[0].kid, house.fleet.machines[1].kid}
    house.script.outside = lambda machine: (
        (RESET if status is None else Outside(status=status)) if machine is not None and machine.kid in down else None
    )
    async with Client(house, attempts=3) as client:
        for _ in range(6):
            assert (await client.ask()).text == TEXT
    # Once it is known, nobody asks a machine that did not answer.
    assert len(house.received) <= 6 + len(down)


async def test_a_reset_before_the_first_chunk_makes_way_for_another(house: HouseServer) -> None:
    cut: list[bool] = []

    async def once(pieces: Pieces) -> Pieces:
        yield await anext(pieces)
        if not cut:
            cut.append(True)
            raise Broken
        async for piece in pieces:
            yield piece

    house.script.sealed = once
    assert (await ask(house, attempts=2)).text == TEXT
    assert len({received.headers["ringfence-node"] for received in house.received}) == 2


async def test_a_house_of_which_no_node_answers_is_overloaded(house: HouseServer) -> None:
    house.script.outside = lambda machine: Outside(status=503)
    asked = await ask(house, attempts=3)
    assert isinstance(asked.error, Overloaded)
    assert len({received.headers["ringfence-node"] for received in house.received}) == 3


async def test_a_full_node_makes_way_and_a_full_house_says_so(house: HouseServer) -> None:
    first = house.fleet.machines[0].kid
    house.script.load = lambda machine: 1.0 if machine.kid == first else 0.2
    house.script.inside = lambda request, machine: (
        refusing(503, **{"retry-after": "1"}) if machine.kid == first else saying(*WORDS)
    )
    async with Client(house, attempts=2) as client:
        for _ in range(12):
            assert (await client.ask()).text == TEXT
        assert client.provider.utilisation(client.recipient) == pytest.approx((1.0 + 0.2 + 0.2) / 3)
        house.script.inside = lambda request, machine: refusing(503, **{"retry-after": "1"})
    async with Client(house, attempts=1) as client:
        asked = [await client.ask() for _ in range(4)]
        # One after the other is found full: none of them stands for the house as long as there is another.
        assert [type(one.error) for one in asked[:3]] == [NodeUnavailable, NodeUnavailable, Overloaded]
        assert isinstance(asked[0].error, NodeUnavailable)
        assert asked[0].error.retry_after_s == 0
        assert isinstance(asked[-1].error, Overloaded)
        assert asked[-1].error.retry_after_s == 1
        assert client.provider.utilisation(client.recipient) == 1.0


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, RateLimited), (401, AuthenticationFailed), (400, RequestRejected), (500, Overloaded)],
)
async def test_a_refusal_inside_is_what_it_is(house: HouseServer, status: int, error: type[Exception]) -> None:
    house.script.inside = lambda request, machine: refusing(status)
    asked = await ask(house)
    assert isinstance(asked.error, error)
    assert "canary" not in str(asked.error)


async def test_a_request_that_was_delivered_twice_is_not_sent_a_third_time(house: HouseServer) -> None:
    house.script.inside = lambda request, machine: refusing(409, "replayed")
    asked = await ask(house, attempts=5)
    assert isinstance(asked.error, RequestRejected)
    assert "twice" in str(asked.error)
    assert len(house.received) == 1


async def test_an_answer_without_its_own_end_is_none(house: HouseServer) -> None:
    """The final chunk and the message are there, and the answer in it says not that it is complete."""
    house.script.inside = lambda request, machine: saying("half", done=False)
    asked = await ask(house)
    assert isinstance(asked.error, StreamBroken)
    assert asked.partial == "half"


async def test_a_message_that_is_cut_inside_of_a_final_chunk_is_no_answer(house: HouseServer) -> None:
    house.script.inside = lambda request, machine: replace(saying(*WORDS), complete=False)
    asked = await ask(house)
    assert isinstance(asked.error, StreamBroken)
    assert asked.partial == TEXT


async def test_fields_of_an_answer_do_not_change_how_it_is_read(house: HouseServer) -> None:
    fields = {"content-type": "text/event-stream", "content-encoding": "gzip", "content-length": "3"}
    house.script.inside = lambda request, machine: replace(saying(*WORDS), fields=fields)
    assert (await ask(house)).text == TEXT


async def test_a_giant_head_is_refused(house: HouseServer) -> None:
    many = b"".join(b"x-%d: y\r\n" % number for number in range(10))
    house.script.outside = lambda machine: Outside(status=200, media_type=RESPONSE_TYPE, body=many * 5000)
    assert isinstance((await ask(house)).error, HouseProtocolError)


async def test_an_endless_answer_ends(house: HouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence_house.client.answer.MAX_ANSWER_BYTES", 100_000)
    comments = Inside(fields={"content-type": "text/event-stream"}, content=[b":" + b" " * 4000 + b"\n\n"] * 100)
    house.script.inside = lambda request, machine: comments
    asked = await ask(house)
    assert isinstance(asked.error, StreamTruncated)


async def test_cancelling_reaches_the_node_at_once(house: HouseServer) -> None:
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(pieces: Pieces) -> Pieces:
        try:
            for _ in range(4):
                yield await anext(pieces)
            await asyncio.sleep(60)
        finally:
            loop.call_soon_threadsafe(gone.set)

    house.script.sealed = slow
    async with Client(house) as client:
        async with client.assistant.stream(PROMPT) as stream:
            async for _ in stream:
                break
        async with asyncio.timeout(10):
            await gone.wait()
