"""Turns, queue, shares, bodies: what a node does when more is asked than it takes on."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from support import Connection, Gate, House, Inner, ScriptedService, opened, served, until

from ringfence.errors import InvalidRequest
from ringfence_house.protocol import names
from ringfence_house.protocol.bhttp import BinaryRequest, decode_known_request
from ringfence_house.protocol.hpke import Receiver
from ringfence_house.protocol.incremental import varint
from ringfence_house_node.server import endpoint
from ringfence_house_node.server.body import Rooms
from ringfence_house_node.server.callers import Callers, read_callers
from ringfence_house_node.server.limits import Limits
from ringfence_house_node.server.replay import Replays

TOKENS = {"alice": "token-of-alice", "bob": "token-of-bob"}


NAMED = Callers({hashlib.sha256(token.encode()).hexdigest(): name for name, token in TOKENS.items()})


def as_caller(house: House, name: str, tenant: str | None = None) -> asyncio.Task[Inner]:
    fields = house.fields(authorization=f"Bearer {TOKENS[name]}", ringfence_tenant=tenant)
    return asyncio.create_task(house.ask(fields=fields))


def as_tenant(house: House, tenant: str) -> asyncio.Task[Inner]:
    return asyncio.create_task(house.ask(fields=house.fields(ringfence_tenant=tenant)))


def _more_wait(house: House, before: int) -> bool:
    return house.node.admission.waiting > before


async def queued(house: House, tenants: str) -> list[asyncio.Task[Inner]]:
    """One request of each tenant in turn, each in the queue before the next is sent."""
    tasks: list[asyncio.Task[Inner]] = []
    for tenant in tenants:
        before = house.node.admission.waiting
        tasks.append(as_tenant(house, tenant))
        await until(partial(_more_wait, house, before))
    return tasks


async def test_callers_take_turns_whoever_came_first(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(concurrency=1, queue=10, share=1.0)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits) as house:
        running = as_tenant(house, "a")
        await gate.holds(1)
        waiting = await queued(house, "aaaabc")
        gate.open.set()
        await asyncio.gather(running, *waiting)

    by_tenant = {tenant: letter for letter, tenant in zip("abc", dict.fromkeys(gate.order), strict=True)}
    assert "".join(by_tenant[tenant] for tenant in gate.order) == "aabcaaa"


async def test_no_more_run_at_once_than_there_are_seats(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate), limits=Limits(concurrency=2)) as house:
        tasks = [as_tenant(house, "a") for _ in range(5)]
        await gate.holds(2)
        await until(lambda: house.node.admission.waiting == 3)
        assert (gate.entered, house.node.admission.running) == (2, 2)
        gate.open.set()
        await asyncio.gather(*tasks)

    assert len(house.service.calls) == 5


async def test_a_full_queue_refuses_inside_with_the_load(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(concurrency=1, queue=2, queue_s=300, share=1.0)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits) as house:
        running = as_tenant(house, "a")
        await gate.holds(1)
        waiting = await queued(house, "bc")
        async with asyncio.timeout(30):
            inner = await house.ask()
        gate.open.set()
        await asyncio.gather(running, *waiting)

    assert (inner.status, inner.code, inner.whole) == (503, "full", True)
    assert (inner.fields[names.LOAD_FIELD], inner.fields["retry-after"]) == ("1.00", "300")


async def test_who_waits_too_long_is_refused_inside(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(concurrency=1, queue_s=0.1)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits) as house:
        running = as_tenant(house, "a")
        await gate.holds(1)
        inner = await house.ask()
        gate.open.set()
        await running

    assert (inner.status, inner.code) == (503, "full")
    assert len(house.service.calls) == 1


async def test_one_caller_holds_its_share_of_the_queue_and_no_more(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(concurrency=1, queue=4, share=0.5)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits, callers=NAMED) as house:
        running = as_caller(house, "alice")
        await gate.holds(1)
        waiting = [as_caller(house, "alice", tenant) for tenant in "ab"]
        await until(lambda: house.node.admission.waiting == 2)
        over = await as_caller(house, "alice", "c")
        waiting.append(as_caller(house, "bob"))
        await until(lambda: house.node.admission.waiting == 3)
        gate.open.set()
        await asyncio.gather(running, *waiting)

    assert (over.status, over.code, over.whole) == (429, "over_share", True)
    assert "retry-after" in over.fields


async def test_where_nobody_is_named_the_whole_queue_is_everybodys(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(concurrency=1, queue=8, share=0.25)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits) as house:
        running = as_tenant(house, "a")
        await gate.holds(1)
        waiting = await queued(house, "bcdefghi")
        beyond = await as_tenant(house, "j")
        assert house.node.admission.waiting == 8
        gate.open.set()
        await asyncio.gather(running, *waiting)

    # The queue is everybody's: a share of one caller would only make it smaller.
    assert beyond.code == "full"


async def test_a_place_in_the_queue_is_given_back_by_who_waited_in_vain(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(concurrency=1, queue=2, share=0.5, queue_s=0.1)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits) as house:
        running = as_tenant(house, "a")
        await gate.holds(1)
        codes = [(await as_tenant(house, "a")).code for _ in range(3)]
        gate.open.set()
        await running

    assert codes == ["full", "full", "full"]


async def test_who_leaves_the_queue_takes_no_seat(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate), limits=Limits(concurrency=1)) as house:
        running = as_tenant(house, "a")
        await gate.holds(1)
        [left] = await queued(house, "b")
        left.cancel()
        await until(lambda: house.node.admission.waiting == 0)
        gate.open.set()
        await running
        await until(lambda: house.node.admission.running == 0)

        assert len(house.service.calls) == 1


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer token-of-alice", 200),
        ("bearer token-of-bob", 200),
        ("Bearer token-of-carol", 401),
        ("Basic token-of-alice", 401),
        ("Bearer", 401),
        (None, 401),
    ],
)
async def test_where_callers_are_named_a_stranger_is_refused_inside(
    tmp_path: Path, authorization: str | None, status: int
) -> None:
    path = tmp_path / "callers"
    lines = [f"{name} {hashlib.sha256(token.encode()).hexdigest()}" for name, token in TOKENS.items()]
    path.write_text("# who may ask\n" + "\n".join(lines) + "\n")
    async with served(tmp_path, callers=read_callers(path)) as house:
        inner = await house.ask(fields=house.fields(authorization=authorization))

    assert (inner.status, len(house.service.calls)) == (status, status == 200)


@pytest.mark.parametrize("line", ["alice token-of-alice", "alice", f"alice {'A' * 64}", f"a b {'0' * 64}"])
def test_a_line_of_the_callers_file_that_is_wrong_is_not_quoted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "callers"
    path.write_text(f"bob {'0' * 64}\n{line}\n")

    with pytest.raises(InvalidRequest, match="line 2") as refused:
        read_callers(path)
    assert "alice" not in str(refused.value)


async def test_two_callers_of_one_tenant_field_share_no_tenant(tmp_path: Path) -> None:
    path = tmp_path / "callers"
    path.write_text("\n".join(f"{name} {hashlib.sha256(token.encode()).hexdigest()}" for name, token in TOKENS.items()))
    async with served(tmp_path, callers=read_callers(path)) as house:
        for token in TOKENS.values():
            await house.ask(fields=house.fields(authorization=f"Bearer {token}", ringfence_tenant="t"))

    assert len({call.tenant for call in house.service.calls}) == 2


@pytest.mark.parametrize("http2", [False, True], ids=["http/1.1", "http/2"])
async def test_a_body_that_is_too_long_is_refused(tmp_path: Path, http2: bool) -> None:
    async with served(tmp_path, limits=Limits(body_bytes=100_000), http2=http2) as house:
        response = await house.post(house.seal(b"x" * 200_000, chunk=16_384).body)
        after = await house.ask()

    assert response.status_code == 413
    assert after.whole


@pytest.mark.parametrize("kind", ["short", "long"])
async def test_bodies_that_hold_all_the_room_of_their_kind_leave_none_for_another(tmp_path: Path, kind: str) -> None:
    gate = Gate()
    limits = {
        "short": Limits(short_bodies_bytes=150_000),
        "long": Limits(short_body_bytes=50_000, long_bodies_bytes=150_000),
    }
    async with served(tmp_path, ScriptedService(script=gate), limits=limits[kind]) as house:
        first = asyncio.create_task(house.ask(b"x" * 100_000, chunk=16_384))
        await gate.holds(1)
        refused = await house.post(house.seal(b"x" * 100_000, chunk=16_384).body)
        gate.open.set()
        await first
        sealed = house.seal(b"x" * 100_000, chunk=16_384)
        after = opened(await house.post(sealed.body), sealed.opener)

        await until(lambda: house.node.rooms.short.held == house.node.rooms.long.held == 0)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert after.whole


async def test_long_bodies_that_stall_leave_the_room_for_short_ones(tmp_path: Path) -> None:
    limits = Limits(short_body_bytes=10_000, short_bodies_bytes=15_000, long_bodies_bytes=90_000, long_bodies_coming=2)
    async with served(tmp_path, limits=limits) as house, Connection.to(house) as connection:
        rooms, long = house.node.rooms, house.seal(b"x" * 20_000, chunk=4096)
        for count in (1, 2):
            await connection.post(long.body[:12_000], end=False)
            await until(partial(_hold, rooms, coming=count, long=count * 12_000))
        refused = await house.post(long.body)
        short = [await house.ask(b"x" * 5000) for _ in range(3)]

        await until(partial(_hold, rooms, coming=2, long=24_000))
    assert refused.status_code == 503
    assert all(inner.whole and inner.status == 200 for inner in short)


def _hold(rooms: Rooms, *, coming: int, long: int, short: int = 0) -> bool:
    return (rooms.coming.held, rooms.long.held, rooms.short.held) == (coming, long, short)


async def test_a_long_body_that_arrived_lets_the_next_come(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(short_body_bytes=20_000, long_bodies_coming=1)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits) as house:
        tasks = [asyncio.create_task(house.ask(b"x" * 50_000, chunk=16_384))]
        await gate.holds(1)
        tasks.append(asyncio.create_task(house.ask(b"x" * 50_000, chunk=16_384)))
        await gate.holds(2)
        gate.open.set()

        assert all(inner.whole for inner in await asyncio.gather(*tasks))


async def test_what_is_refused_holds_no_room_while_its_rest_is_dropped(tmp_path: Path) -> None:
    limits = Limits(short_body_bytes=10_000, body_s=300)
    async with served(tmp_path, limits=limits) as house, Connection.to(house) as connection:
        sealed = house.seal(b"x" * 20_000, chunk=4096)
        broken = bytearray(sealed.body[:12_000])
        broken[sealed.edges[0] + 10] ^= 1
        # It is refused for a chunk that does not open, and its end does not come.
        await connection.post(bytes(broken), end=False)
        async with asyncio.timeout(20):
            while await house.metric('ringfence_node_requests_total{outcome="unopened"}') < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        assert _hold(house.node.rooms, coming=0, long=0)


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with (
        served(tmp_path, limits=Limits(body_s=0.2)) as house,
        Connection.to(house) as connection,
    ):
        stream = await connection.post(house.seal().body[:100], end=False)
        await connection.end_of(stream)

        assert await house.metric('ringfence_node_requests_total{outcome="not_taken"}') == 1


async def test_a_refusal_waits_for_the_end_of_the_body_so_that_the_connection_lives(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate)) as house, Connection.to(house) as connection:
        kept = await connection.post(house.seal().body)
        await gate.holds(1)
        for _ in range(3):
            refused = await connection.post(b"no request of ours" * 900)
            await connection.end_of(refused)
        gate.open.set()
        await connection.end_of(kept)

    assert house.service.ended == ["whole"]


async def test_strangers_use_up_no_memory_of_replays(tmp_path: Path) -> None:
    async with served(tmp_path, callers=NAMED) as house:
        house.node.replays = Replays(limit=2)
        for _ in range(5):
            assert (await house.ask()).code == "caller_unknown"
        wrong = house.fields(authorization=f"Bearer {TOKENS['bob']}", ringfence_evidence="0" * 64)
        for _ in range(5):
            assert (await house.ask(fields=wrong)).code == "evidence_stale"
        assert len(house.node.replays) == 0

        assert (await as_caller(house, "alice")).status == 200


async def test_where_no_request_can_be_remembered_the_node_is_full(tmp_path: Path) -> None:
    async with served(tmp_path) as house:
        house.node.replays = Replays(limit=1)
        sealed = house.seal()
        first = opened(await house.post(sealed.body), sealed.opener)
        replayed = opened(await house.post(sealed.body), sealed.again)
        full = await house.ask()

        assert await house.metric('ringfence_node_requests_total{outcome="full"}') == 1
    assert (first.status, replayed.status, replayed.code) == (200, 409, "replayed")
    assert (full.status, full.code, full.fields[names.LOAD_FIELD]) == (503, "full", "1.00")
    assert len(house.service.calls) == 1


# What a stranger can make the node do with little.


def crumbs(house: House, count: int) -> bytes:
    """A request of indeterminate length, its content in pieces of one byte."""
    control = ("POST", "https", names.AUTHORITY, names.CHAT_PATH)
    head = varint(2) + b"".join(varint(len(value)) + value.encode() for value in control)
    lines = b"".join(varint(len(part)) + part for field in house.fields() for part in field)
    return head + lines + varint(0) + b"\1x" * count + varint(0) + varint(0)


async def test_content_of_indeterminate_length_is_not_read(house: House) -> None:
    inner = await house.ask(plain=crumbs(house, 10))
    began = time.process_time()
    many = await house.ask(plain=crumbs(house, 2**20), chunk=16_384)

    assert (inner.status, inner.code, many.code) == (400, "malformed", "malformed")
    # Read piece by piece it is a million steps; what is counted here is opening it.
    assert time.process_time() - began < 3


async def test_a_request_in_crumbs_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_chunks = 0

    def count(self: Receiver, ciphertext: bytes, aad: bytes = b"") -> bytes:
        nonlocal opened_chunks
        opened_chunks += 1
        return opens(self, ciphertext, aad)

    opens = Receiver.open
    async with served(tmp_path) as house:
        crumb = house.seal(plain=b"x" * 100, chunk=1).body
        monkeypatch.setattr(Receiver, "open", count)
        # What follows the first chunks would not open, and is not looked at.
        response = await house.post(crumb + bytes(4 * 2**20))

    assert (response.status_code, opened_chunks) == (413, 64)


async def test_a_long_request_is_decoded_beside_the_loop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def decode(plain: bytearray) -> BinaryRequest:
        threads.append(threading.get_ident())
        return decode_known_request(plain)

    monkeypatch.setattr(endpoint, "decode_known_request", decode)
    for size in (1000, 2 * 2**20):
        assert (await house.ask(b"x" * size, chunk=16_384)).whole

    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True, False]
    assert [len(call.body) for call in house.service.calls] == [1000, 2 * 2**20]
