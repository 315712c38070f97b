"""The signed documents: what is written is read, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from providers.house.tests.releases.support import Change, release

from ringfence_house.releases import documents
from ringfence_house.releases.faults import Malformed
from ringfence_house.releases.reference import Device, Release

IDS = st.from_regex(documents.ID, fullmatch=True)
DIGESTS = st.from_regex(documents.DIGEST, fullmatch=True)
TIMES = st.tuples(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1)).filter(lambda times: times[0] < times[1])


@st.composite
def releases(draw: st.DrawFn) -> Release:
    start, end = draw(TIMES)
    return Release(
        id=draw(IDS),
        code=draw(DIGESTS),
        model=draw(st.from_regex(documents.MODEL, fullmatch=True)),
        model_digest=draw(DIGESTS),
        config=draw(DIGESTS),
        not_before=start,
        not_after=end,
        capabilities=draw(st.frozensets(st.sampled_from(["text", "tools", "image_input"]))),
        context_tokens=draw(st.integers(1, 2**31)),
        min_os=draw(st.none() | st.just("14.4")),
        revoked=draw(st.booleans()),
    )


@settings(max_examples=25)
@given(st.lists(releases(), max_size=3))
def test_releases_are_read_as_they_were_written(found: list[Release]) -> None:
    by_id = {one.id: one for one in found}
    assert documents.parse_releases(documents.encode_releases(by_id)) == by_id


@given(st.dictionaries(IDS, st.from_regex(documents.UEID, fullmatch=True), max_size=5), st.booleans())
def test_machines_are_read_as_they_were_written(ueids: dict[str, str], revoked: bool) -> None:
    unique = {ueid: serial for serial, ueid in ueids.items()}
    devices = {serial: Device(serial=serial, ueid=ueid, revoked=revoked) for ueid, serial in unique.items()}
    assert documents.parse_devices(documents.encode_devices(devices)) == devices


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,v1releases', max_size=60).map(str.encode))
def test_any_other_bytes_are_refused_in_one_way(data: bytes) -> None:
    for parse in (documents.parse_releases, documents.parse_devices, documents.parse_log):
        with pytest.raises(Malformed):
            parse(data)


def changed(change: Change) -> bytes:
    document = json.loads(documents.encode_releases({"r1": release("r1")}))
    change(document)
    return json.dumps(document).encode()


OTHER_FORMS: list[Change] = [
    lambda it: it.update(v=2),
    lambda it: it.update(v=True),
    lambda it: it.update(v="1"),
    lambda it: it.update(more=1),
    lambda it: it.pop("v"),
    lambda it: it.update(releases=[]),
    lambda it: it["releases"].update({"a b": it["releases"]["r1"]}),
    lambda it: it["releases"].update({"": it["releases"]["r1"]}),
    lambda it: it["releases"].update({"a\n": it["releases"]["r1"]}),
    lambda it: it["releases"]["r1"].update(least_chip="m4"),
    lambda it: it["releases"]["r1"].pop("min_os"),
    lambda it: it["releases"]["r1"].pop("revoked"),
    lambda it: it["releases"]["r1"].update(revoked=0),
    lambda it: it["releases"]["r1"].update(revoked="false"),
    lambda it: it["releases"]["r1"].update(code="A" * 64),
    lambda it: it["releases"]["r1"].update(code="a" * 63),
    lambda it: it["releases"]["r1"].update(code="a" * 64 + "\n"),
    lambda it: it["releases"]["r1"].update(model="two words"),
    lambda it: it["releases"]["r1"].update(not_before=1.0),
    lambda it: it["releases"]["r1"].update(not_before=-1),
    lambda it: it["releases"]["r1"].update(not_before=True),
    lambda it: it["releases"]["r1"].update(not_after=2**53),
    lambda it: it["releases"]["r1"].update(not_after=0, not_before=0),
    lambda it: it["releases"]["r1"].update(context_tokens=0),
    lambda it: it["releases"]["r1"].update(capabilities=["text", "text"]),
    lambda it: it["releases"]["r1"].update(capabilities="text"),
    lambda it: it["releases"]["r1"].update(capabilities=["te xt"]),
    lambda it: it["releases"]["r1"].update(min_os="14.4.1.1"),
    lambda it: it["releases"]["r1"].update(min_os=14),
]


@pytest.mark.parametrize("change", OTHER_FORMS)
def test_a_release_of_another_form_is_refused(change: Change) -> None:
    with pytest.raises(Malformed):
        documents.parse_releases(changed(change))


@pytest.mark.parametrize(
    "data",
    [
        b'{"v":1,"v":1,"nodes":{}}',
        b'{"v":1,"nodes":{"C1":{"ueid":"u","revoked":true},"C1":{"ueid":"u","revoked":false}}}',
        b'{"v":1,"nodes":{"C1":{"ueid":"u","revoked":true,"revoked":false}}}',
        b'{"v":1,"nodes":{"C1":{"ueid":"u","revoked":false},"C2":{"ueid":"u","revoked":false}}}',
        b'{"v":1,"nodes":{"C1":{"ueid":"","revoked":false}}}',
        b'{"v":1,"nodes":{}} {}',
        b'\xef\xbb\xbf{"v":1,"nodes":{}}',
        '{"v":1,"nodes":{}}'.encode("utf-16"),
        b'{"v":NaN,"nodes":{}}',
        b'{"v":1' + b"0" * 5000 + b',"nodes":{}}',
        b'{"v":1,"nodes":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ],
    ids=lambda data: repr(data[:40]),
)
def test_machines_of_another_form_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        documents.parse_devices(data)


def test_a_document_is_refused_where_it_is_too_long() -> None:
    padded = b'{"v":1,"nodes":{}}'.ljust(documents.MAX_DOCUMENT_BYTES)
    assert documents.parse_devices(padded) == {}
    with pytest.raises(Malformed):
        documents.parse_devices(padded + b" ")


def test_more_machines_than_there_may_be_are_refused() -> None:
    devices = {f"C{n}": Device(serial=f"C{n}", ueid=f"u{n}") for n in range(documents.MAX_DEVICES)}
    assert len(documents.parse_devices(documents.encode_devices(devices))) == documents.MAX_DEVICES
    devices["more"] = Device(serial="more", ueid="more")
    with pytest.raises(Malformed):
        documents.parse_devices(documents.encode_devices(devices))


def test_the_log_at_its_longest_fits_into_its_document() -> None:
    found = {f"r{n}": release(f"r{n}") for n in range(documents.MAX_RELEASES)}
    data = documents.encode_log([documents.entry(one) for one in found.values()], found)
    assert documents.parse_log(data).size == documents.MAX_RELEASES


def test_an_entry_of_the_log_holds_every_fact_but_the_revocation() -> None:
    entry = documents.entry(release("r1"))
    assert entry == documents.entry(release("r1", revoked=True))
    for fact in ({"code": "0" * 64}, {"not_after": 2**40}, {"min_os": "14.4"}, {"capabilities": frozenset({"text"})}):
        assert entry != documents.entry(release("r1", **fact))


def test_what_is_wrong_is_said_without_the_value() -> None:
    with pytest.raises(Malformed) as raised:
        documents.parse_releases(changed(lambda it: it["releases"]["r1"].update(model="sec ret")))
    assert "model" in str(raised.value)
    assert "sec ret" not in str(raised.value)
