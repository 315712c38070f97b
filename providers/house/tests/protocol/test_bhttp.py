"""Binary HTTP: the examples of RFC 9292, the laws of both directions, and what is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.house.tests.protocol.support import cut, poured, vectors

from ringfence_house.protocol.bhttp import (
    MAX_FIELDS,
    BinaryRequest,
    Field,
    ResponseDecoder,
    ResponseEncoder,
    ResponseHead,
    decode_known_request,
    decode_request,
    encode_request,
)
from ringfence_house.protocol.faults import ProtocolFault, TooLong, Truncated
from ringfence_house.protocol.incremental import varint
from ringfence_house.protocol.names import MAX_FIELDS_BYTES, MAX_REQUEST_BYTES

Parts: TypeAlias = list[ResponseHead | bytes]
NAMES = st.from_regex(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,12}", fullmatch=True)
VALUES = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,40}", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


def example(name: str) -> bytes:
    every: list[dict[str, Any]] = vectors("rfc9292-section5.json")["vectors"]
    (one,) = [vector for vector in every if vector["id"] == name]
    assert len(bytes.fromhex(one["hex"])) == one["len"]
    return bytes.fromhex(one["hex"])


def request(fields: Sequence[Field] = (), content: bytes = b"", pad_to: int = 1, path: str = "/v1/x") -> bytes:
    return encode_request("POST", "https", "house.ringfence.invalid", path, fields, content, pad_to)


def answer(status: int, fields: Sequence[Field], pieces: Sequence[bytes]) -> bytes:
    encoder = ResponseEncoder()
    return encoder.head(status, fields) + b"".join(map(encoder.content, pieces)) + encoder.end()


def read(*data: bytes) -> tuple[ResponseHead, bytes]:
    decoder = ResponseDecoder()
    head, *content = [part for piece in data for part in decoder.feed(piece)] + decoder.end()
    assert isinstance(head, ResponseHead)
    assert decoder.finished
    return head, b"".join(piece for piece in content if isinstance(piece, bytes))


def known(*, kind: int = 1, head: bytes = b"\x40\xc8", fields: bytes = b"", rest: bytes = b"\0\0") -> bytes:
    """An answer of known length, from its parts."""
    return bytes([kind]) + head + varint(len(fields)) + fields + rest


def lines(*fields: Field) -> bytes:
    return b"".join(varint(len(part)) + part for field in fields for part in field)


# -- RFC 9292, section 5


@pytest.mark.parametrize("name", ["ex-bink-request", "ex-bini-request"])
def test_the_requests_of_the_rfc_are_read(name: str) -> None:
    assert decode_request(example(name)) == BinaryRequest(
        method="GET",
        scheme="https",
        authority="",
        path="/hello.txt",
        fields=(
            (b"user-agent", b"curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"),
            (b"host", b"www.example.com"),
            (b"accept-language", b"en, mi"),
        ),
        content=b"",
    )


def test_the_request_of_known_length_is_written_as_in_the_rfc() -> None:
    fields = decode_request(example("ex-bink-request")).fields
    assert encode_request("GET", "https", "", "/hello.txt", fields, b"", 1) == example("ex-bink-request")


def test_the_answer_of_the_rfc_is_read_without_its_informational_ones() -> None:
    head, content = read(example("ex-bini-response"))
    assert head.status == 200
    assert [name for name, _ in head.fields] == [
        b"date", b"server", b"last-modified", b"etag", b"accept-ranges", b"content-length", b"vary", b"content-type",
    ]  # fmt: skip
    assert content == b"Hello World! My content includes a trailing CRLF.\r\n"


def test_the_answer_of_the_rfc_is_written_byte_for_byte() -> None:
    """But for the informational answers before it, which we do not write."""
    head, content = read(example("ex-bini-response"))
    ours = answer(head.status, head.fields, [content])
    assert ours[:1] == example("ex-bini-response")[:1]
    assert example("ex-bini-response").endswith(ours[1:])


def test_the_answer_of_known_length_with_trailers_is_read() -> None:
    head, content = read(example("ex-bink-chunked"))
    assert (head.status, head.fields, content) == (200, (), b"This content contains CRLF.\r\n")


# -- laws


@given(fields=FIELDS, content=st.binary(max_size=3000), pad_to=st.sampled_from([1, 7, 1024]))
def test_a_request_is_read_as_it_was_written(fields: list[Field], content: bytes, pad_to: int) -> None:
    data = request(fields, content, pad_to)
    assert len(data) % pad_to == 0
    assert len(data) - len(request(fields, content)) < pad_to
    read_back = decode_request(data)
    assert (read_back.fields, read_back.content) == (tuple(fields), content)
    assert (read_back.method, read_back.authority, read_back.path) == ("POST", "house.ringfence.invalid", "/v1/x")


@given(
    status=st.integers(200, 599),
    fields=FIELDS,
    pieces=st.lists(st.binary(max_size=300), max_size=6),
    places=st.lists(st.integers(0, 2500)),
    padding=st.integers(0, 20),
)
def test_an_answer_is_read_as_it_was_written_however_it_is_cut(
    status: int, fields: list[Field], pieces: list[bytes], places: list[int], padding: int
) -> None:
    data = answer(status, fields, pieces) + bytes(padding)
    assert read(*cut(data, *places)) == (ResponseHead(status=status, fields=tuple(fields)), b"".join(pieces))


def test_each_byte_of_an_answer_may_come_alone() -> None:
    data = example("ex-bini-response")
    assert read(*cut(data, *range(len(data)))) == read(data)


def test_content_is_given_as_it_comes() -> None:
    decoder = ResponseDecoder()
    head = ResponseEncoder().head(200, [])
    assert decoder.feed(head + varint(10) + b"half ") == [ResponseHead(status=200, fields=()), b"half "]
    assert decoder.feed(b"other") == [b"other"]


def test_an_answer_is_finished_once_its_end_was_read() -> None:
    decoder = ResponseDecoder()
    decoder.feed(answer(200, [], [b"text"])[:-1])
    assert not decoder.finished
    decoder.feed(b"\0")
    assert decoder.finished


# -- cut


@pytest.mark.parametrize("data", [answer(200, [(b"a", b"b")], [b"text", b"more"]), example("ex-bini-response")])
def test_an_answer_of_unknown_length_cut_at_any_byte_is_truncated(data: bytes) -> None:
    whole = read(data)
    assert whole[1]
    for end in range(len(data)):
        parts, fault = poured(ResponseDecoder(), [data[:end]])
        assert isinstance(fault, Truncated)
        assert whole[1].startswith(b"".join(part for part in parts if isinstance(part, bytes)))


@pytest.mark.parametrize(
    "data",
    [request([(b"a", b"b")], b"content"), request(), example("ex-bini-request")[:-10]],
    ids=["known", "empty", "open"],
)
def test_a_request_cut_at_any_byte_is_truncated(data: bytes) -> None:
    assert decode_request(data).scheme == "https"
    for end in range(len(data)):
        with pytest.raises(Truncated):
            decode_request(data[:end])


def test_an_answer_of_known_length_cut_at_any_byte_is_truncated() -> None:
    data = known(fields=lines((b"a", b"b")), rest=b"\4text\0")
    assert read(data) == (ResponseHead(status=200, fields=((b"a", b"b"),)), b"text")
    for end in range(len(data)):
        assert isinstance(poured(ResponseDecoder(), [data[:end]])[1], Truncated)


# -- refused


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0" + known()[1:], id="a request"),
        pytest.param(known(kind=4), id="unknown framing"),
        pytest.param(b"\x40\x01" + known()[1:], id="framing in two bytes"),
        pytest.param(known(head=b"\x40\x64" + b"\0" + b"\0"), id="status 0 after an informational one"),
        pytest.param(known(head=varint(99) + b"\0" + varint(200)), id="status 99"),
        pytest.param(known(head=varint(600) + b"\0" + varint(200)), id="status 600"),
        pytest.param(known(head=b"\x80\0\0\xc8"), id="status in four bytes"),
        pytest.param(known(fields=lines((b"A", b"b"))), id="upper-case name"),
        pytest.param(known(fields=lines((b":status", b"200"))), id="pseudo-field"),
        pytest.param(known(fields=lines((b"", b"b"))), id="empty name"),
        pytest.param(known(fields=lines((b"a b", b"b"))), id="space in a name"),
        pytest.param(known(fields=lines((b"a\n", b"b"))), id="line feed after a name"),
        pytest.param(known(fields=lines((b"a", b"b\r\nc: d"))), id="line end in a value"),
        pytest.param(known(fields=lines((b"a", b"\0"))), id="NUL in a value"),
        pytest.param(known(fields=lines((b"a", b"b\n"))), id="line feed after a value"),
        pytest.param(b"\1\x40\xc8\x03" + lines((b"a", b"b")) + b"\0\0", id="field beyond its section"),
        pytest.param(known(rest=b"\0\0\1"), id="padding that is not zero"),
        pytest.param(known(rest=b"\0\0" + bytes(9) + b"\1"), id="something behind the padding"),
        pytest.param(known(rest=b"\0\2\1a"), id="half a trailer"),
        pytest.param(known(rest=b"\0\4\1A\1b"), id="upper-case trailer"),
    ],
)
def test_an_answer_that_is_not_of_the_form_is_refused(data: bytes) -> None:
    _, fault = poured(ResponseDecoder(), [data])
    assert fault is not None
    _, fault = poured(ResponseDecoder(), cut(data, *range(len(data))))
    assert fault is not None


@pytest.mark.parametrize(
    "control",
    [
        ("", "https", "a", "/"),
        ("GE T", "https", "a", "/"),
        ("GET\n", "https", "a", "/"),
        ("GET", "", "a", "/"),
        ("GET", "HTTPS", "a", "/"),
        ("GET", "https", "a b", "/"),
        ("GET", "https", "a\r\n", "/"),
        ("GET", "https", "a", ""),
        ("GET", "https", "a", "/ü"),
        ("GET", "https", "a", "/ "),
        ("GET", "https", "a", "/\U0001f600"),
    ],
    ids=ascii,
)
def test_control_data_is_checked_in_both_directions(control: tuple[str, str, str, str]) -> None:
    with pytest.raises(ProtocolFault):
        encode_request(*control, [], b"", 1)
    raw = b"".join(varint(len(part.encode())) + part.encode() for part in control)
    with pytest.raises(ProtocolFault):
        decode_request(b"\0" + raw + b"\0\0\0")


@pytest.mark.parametrize("field", [(b"A", b"b"), (b"", b"b"), (b"a:", b"b"), (b"a", b"b\r\n"), (b"a", b"\0")])
def test_fields_are_checked_where_they_are_written(field: Field) -> None:
    with pytest.raises(ProtocolFault):
        request([field])
    with pytest.raises(ProtocolFault):
        ResponseEncoder().head(200, [field])


@pytest.mark.parametrize("status", [0, 100, 199, 600, 1000])
def test_only_a_final_status_is_written(status: int) -> None:
    with pytest.raises(ProtocolFault):
        ResponseEncoder().head(status, [])


def test_a_request_is_no_answer_and_an_answer_no_request() -> None:
    with pytest.raises(ProtocolFault):
        ResponseDecoder().feed(request())
    with pytest.raises(ProtocolFault):
        decode_request(answer(200, [], []))


def test_an_answer_is_written_in_order() -> None:
    encoder = ResponseEncoder()
    with pytest.raises(RuntimeError):
        encoder.content(b"text")
    encoder.head(200, [])
    with pytest.raises(RuntimeError):
        encoder.head(200, [])
    encoder.end()
    with pytest.raises(RuntimeError):
        encoder.content(b"text")


def test_nothing_more_is_read_after_the_end() -> None:
    decoder = ResponseDecoder()
    decoder.feed(answer(200, [], []))
    decoder.end()
    with pytest.raises(ProtocolFault):
        decoder.feed(b"\0")
    with pytest.raises(ProtocolFault):
        decoder.end()


# -- limits


def test_fields_up_to_the_limit_pass_and_no_further() -> None:
    room = MAX_FIELDS_BYTES - len(ResponseEncoder().head(200, [(b"a", b"b" * 16_000)]))
    field = (b"a", b"b" * (16_000 + room))
    assert read(answer(200, [field], []))[0].fields == (field,)
    with pytest.raises(TooLong):
        ResponseEncoder().head(200, [(b"a", field[1] + b"b")])
    with pytest.raises(TooLong):
        request([(b"a", b"b" * MAX_FIELDS_BYTES)])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\1\x40\xc8" + varint(MAX_FIELDS_BYTES), id="known section"),
        pytest.param(b"\1\x40\xc8" + varint(2**62 - 1), id="giant known section"),
        pytest.param(b"\3\x40\xc8" + varint(2**62 - 1), id="giant name"),
        pytest.param(b"\3\x40\xc8\1a" + varint(MAX_FIELDS_BYTES), id="giant value"),
        pytest.param(b"\3\x40\xc8" + lines((b"a", b"b")) * (MAX_FIELDS_BYTES // 4), id="fields without end"),
        pytest.param(b"\3\x40\xc8\0\0" + lines((b"a", b"b")) * (MAX_FIELDS_BYTES // 4 + 1), id="trailers without end"),
        pytest.param(b"\3" + b"\x40\x66\0" * (MAX_FIELDS_BYTES // 3 + 1), id="informational answers without end"),
    ],
)
def test_what_does_not_end_is_refused(data: bytes) -> None:
    with pytest.raises(TooLong):
        ResponseDecoder().feed(data)


def test_trailers_have_a_limit_of_their_own() -> None:
    content = bytes(2 * MAX_FIELDS_BYTES)
    trailers = lines((b"a", b"b" * 1000))
    data = known(rest=varint(len(content)) + content + varint(len(trailers)) + trailers)
    assert read(data) == (ResponseHead(status=200, fields=()), content)


def test_a_request_over_the_limit_is_refused_in_both_directions() -> None:
    with pytest.raises(TooLong):
        request(content=bytes(MAX_REQUEST_BYTES))
    with pytest.raises(TooLong):
        decode_request(bytes(MAX_REQUEST_BYTES + 1))


def test_endless_content_and_padding_keep_nothing() -> None:
    decoder = ResponseDecoder()
    decoder.feed(ResponseEncoder().head(200, []) + varint(2**40))
    block = bytes(65_536)
    tracemalloc.start()
    for _ in range(100):
        assert decoder.feed(block) == [block]
    ended = ResponseDecoder()
    ended.feed(answer(200, [], []))
    for _ in range(100):
        assert ended.feed(block) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * len(block)


# -- secrets


def test_nothing_of_a_message_is_in_its_repr() -> None:
    secret = "hunter2"
    decoded = decode_request(request([(b"authorization", secret.encode())], secret.encode(), path=f"/{secret}"))
    head, _ = read(answer(200, [(b"a", secret.encode())], []))
    assert secret not in repr(decoded) + repr(head)


@pytest.mark.parametrize(("path", "name"), [("/hunter2 ", b"a"), ("/", b"hunter2:")])
def test_no_fault_repeats_what_was_wrong(path: str, name: bytes) -> None:
    with pytest.raises(ProtocolFault) as caught:
        request([(name, b"")], path=path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_server_may_read_requests_of_known_length_alone() -> None:
    fields = decode_request(example("ex-bink-request")).fields
    assert decode_known_request(example("ex-bink-request")).fields == fields
    with pytest.raises(ProtocolFault):
        decode_known_request(example("ex-bini-request"))


@pytest.mark.parametrize("section", ["known", "indeterminate", "written"])
def test_fields_are_counted(section: str) -> None:
    many = [(b"a", b"")] * (MAX_FIELDS + 1)
    reading: dict[str, Callable[[], object]] = {
        "known": lambda: read(known(fields=lines(*many))),
        "indeterminate": lambda: read(b"\3\x40\xc8" + lines(*many) + b"\0\0\0"),
        "written": lambda: request(many),
    }
    with pytest.raises(TooLong):
        reading[section]()
    assert len(decode_request(request(many[1:])).fields) == MAX_FIELDS


def test_content_in_crumbs_is_refused_long_before_its_end() -> None:
    crumbs = ResponseEncoder().head(200, []) + b"\1x" * 2000
    with pytest.raises(TooLong):
        ResponseDecoder().feed(crumbs)
    assert len(read(answer(200, [], [b"x" * 128] * 5000))[1]) == 640_000


def test_a_long_request_is_held_twice_beside_what_was_given() -> None:
    data = request(content=bytes(8 * 2**20))
    tracemalloc.start()
    decoded = decode_known_request(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(decoded.content) == 8 * 2**20
    assert peak < 2.2 * len(data)
