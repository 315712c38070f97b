"""Requests that the node must not answer, and what it says to them instead."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support import MODEL, RELEASE, House, Inner, opened, served

from ringfence_house.protocol import names
from ringfence_house.protocol.bhttp import encode_request

HEADER_BYTES = 7
ENC_BYTES = 32


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def problem(house: House, response: httpx2.Response) -> tuple[int, str]:
    """Status and type of a refusal outside of the encryption; nothing reached the service."""
    assert house.service.calls == []
    return response.status_code, json.loads(response.content)["type"]


# Outside of the encryption: nothing was opened.


@pytest.mark.parametrize("at", range(HEADER_BYTES))
async def test_a_changed_byte_of_the_header_is_a_key_that_is_not_here(house: House, at: int) -> None:
    response = await house.post(flipped(house.seal().body, at))

    assert problem(house, response) == (400, names.KEY_PROBLEM)


async def test_a_flipped_enc_opens_nothing(house: House) -> None:
    response = await house.post(flipped(house.seal().body, HEADER_BYTES))

    assert problem(house, response) == (400, names.KEY_PROBLEM)


async def test_an_enc_of_zeros_is_refused(house: House) -> None:
    body = house.seal().body
    response = await house.post(body[:HEADER_BYTES] + bytes(ENC_BYTES) + body[HEADER_BYTES + ENC_BYTES :])

    assert problem(house, response)[0] == 400


async def test_a_request_that_is_cut_at_any_chunk_is_refused(house: House) -> None:
    sealed = house.seal()

    for edge in sealed.edges:
        response = await house.post(sealed.body[:edge])
        assert problem(house, response) == (400, "about:blank")
    assert len(sealed.edges) > 1


async def test_a_changed_later_chunk_is_refused(house: House) -> None:
    sealed = house.seal()
    response = await house.post(flipped(sealed.body, sealed.edges[0] + 10))

    assert problem(house, response) == (400, "about:blank")


async def test_a_request_for_another_node_goes_back_to_the_balancer(house: House, tmp_path: Path) -> None:
    async with served(tmp_path / "other") as other:
        sealed = other.seal()
        response = await house.post(sealed.body, ringfence_node=other.kid)

    assert problem(house, response) == (404, names.KEY_PROBLEM)


async def test_a_request_for_another_node_under_this_ones_hint_is_a_key_that_is_not_here(
    house: House, tmp_path: Path
) -> None:
    async with served(tmp_path / "other") as other:
        response = await house.post(other.seal().body)

    assert problem(house, response) == (400, names.KEY_PROBLEM)


async def test_a_request_without_a_hint_is_answered(house: House) -> None:
    sealed = house.seal()

    assert opened(await house.post(sealed.body, ringfence_node=None), sealed.opener).whole


@pytest.mark.parametrize("media_type", ["message/ohttp-req", "application/json", None])
async def test_another_media_type_is_refused(house: House, media_type: str | None) -> None:
    response = await house.post(house.seal().body, content_type=media_type)

    assert problem(house, response)[0] == 415


@pytest.mark.parametrize("body", [b"", b"\0", b"x" * 5000], ids=["empty", "a byte", "no request"])
async def test_what_is_no_encapsulated_request_is_refused(house: House, body: bytes) -> None:
    response = await house.post(body)

    assert problem(house, response)[0] == 400


async def test_only_post_is_answered(house: House) -> None:
    assert (await house.http.get(house.url + names.OHTTP_PATH)).status_code == 405


# Inside of the encryption: everything from the opened request on.


def refused(house: House, inner: Inner) -> tuple[int, str]:
    """Status and code of a refusal inside of the encryption; nothing reached the service, and it has an end."""
    assert inner.whole
    assert house.service.calls == []
    return inner.status, inner.code


async def test_a_replayed_request_is_answered_once(house: House) -> None:
    sealed = house.seal()
    first = opened(await house.post(sealed.body), sealed.opener)
    second = opened(await house.post(sealed.body), sealed.again)

    assert first.words == ["hello", "world"]
    assert (second.status, second.code) == (409, "replayed")
    assert len(house.service.calls) == 1


@pytest.mark.parametrize(
    ("offset_s", "code"),
    [
        (-600, "date_out_of_window"),
        (-125, "date_out_of_window"),
        (125, "date_out_of_window"),
        (-100, None),
        (100, None),
    ],
)
async def test_a_request_counts_only_near_its_date(house: House, offset_s: int, code: str | None) -> None:
    inner = await house.ask(fields=house.fields(date=formatdate(time.time() + offset_s, usegmt=True)))

    assert (inner.status if code is None else refused(house, inner)) == (200 if code is None else (400, code))


@pytest.mark.parametrize(
    "date", ["yesterday", "", "2026-11-22T10:00:00Z", "Sun, 06 Nov 1994 08:49:37 +0000", "99999999999999999999"]
)
async def test_a_date_has_one_form(house: House, date: str) -> None:
    assert refused(house, await house.ask(fields=house.fields(date=date))) == (400, "date_invalid")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"ringfence_evidence": "0" * 64}, 412, "evidence_stale"),
        ({"ringfence_expect": f"{RELEASE['id']} other-model"}, 412, "release_unexpected"),
        ({"ringfence_expect": f"r2 {MODEL}"}, 412, "release_unexpected"),
        ({"ringfence_expect": MODEL}, 412, "release_unexpected"),
        ({"ringfence_tenant": "t" * 65}, 400, "tenant_invalid"),
        ({"ringfence_tenant": ""}, 400, "tenant_invalid"),
        ({"content_type": "text/plain"}, 415, "media_type_unknown"),
        ({"content_type": None}, 415, "media_type_unknown"),
        ({"date": None}, 400, "field_missing"),
        ({"ringfence_evidence": None}, 400, "field_missing"),
        ({"ringfence_expect": None}, 400, "field_missing"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_the_fields_say_must_hold_here(
    house: House, changes: dict[str, str | None], status: int, code: str
) -> None:
    inner = await house.ask(fields=house.fields(**changes))

    assert refused(house, inner) == (status, code)


@pytest.mark.parametrize(
    "name", ["date", names.EVIDENCE_FIELD, names.EXPECT_FIELD, names.TENANT_FIELD, "authorization"]
)
async def test_a_field_that_comes_twice_is_refused(house: House, name: str) -> None:
    fields = house.fields(ringfence_tenant="t", authorization="Bearer x")
    twice = [*fields, next(field for field in fields if field[0] == name.encode())]

    assert refused(house, await house.ask(fields=twice)) == (400, "field_twice")


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ({"authority": "api.openai.com"}, 421, "authority_unknown"),
        ({"authority": names.AUTHORITY + ":443"}, 421, "authority_unknown"),
        ({"scheme": "http"}, 421, "authority_unknown"),
        ({"path": "/v1/models"}, 404, "path_unknown"),
        ({"path": names.CHAT_PATH + "?x=1"}, 404, "path_unknown"),
        ({"path": "/v1/../v1/chat/completions"}, 404, "path_unknown"),
        ({"method": "GET"}, 405, "method_not_allowed"),
    ],
    ids=str,
)
async def test_only_the_targets_of_the_protocol_are_answered(
    house: House, target: dict[str, Any], status: int, code: str
) -> None:
    inner = await house.ask(**target)

    assert refused(house, inner) == (status, code)


@pytest.mark.parametrize("plain", [b"\0", b'{"messages":[]}', b"\7" * 100], ids=["short", "json", "no framing"])
async def test_what_is_no_binary_http_is_refused_inside(house: House, plain: bytes) -> None:
    assert refused(house, await house.ask(plain=plain)) == (400, "malformed")


async def test_padding_that_holds_something_is_refused_inside(house: House) -> None:
    plain = encode_request(
        "POST", "https", names.AUTHORITY, names.CHAT_PATH, house.fields(), b"{}", names.PAD_REQUEST_BYTES
    )

    assert refused(house, await house.ask(plain=plain[:-1] + b"x")) == (400, "malformed")
