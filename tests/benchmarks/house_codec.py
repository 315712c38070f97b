"""What sealing and opening a chunk of a house's answer costs, beside bare AES-GCM on the same bytes in the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.benchmarks.clock import median, ratios, take_turns
from tests.benchmarks.row import Row
from tests.benchmarks.setting import Setting

CHUNK_BYTES: Final = (64, 256, 16_384)
"""A token or two; a padded flush; the most that a chunk holds."""


def rows(setting: Setting) -> list[Row]:
    """Microseconds for each chunk, sealed and then opened, and how many times those of the bare cipher."""
    return [row for size in CHUNK_BYTES for row in _rows(size, setting)]


def _rows(size: int, setting: Setting) -> list[Row]:
    count = setting.times(1_000)
    works: dict[str, Callable[[], object]] = {"codec": _codec(size, count), "bare": _bare(size, count)}
    taken = take_turns(works, rounds=setting.rounds(9))
    what, note = f"seal and open a chunk of {size:,} B", f"{count} chunks; AES-128-GCM of cryptography"
    found: list[Row] = []
    for name, told in (("codec", what), ("bare", f"{what}: the bare cipher")):
        each_us = [used * 1e6 / count for used in taken[name]]
        found.append(
            Row(group="house-codec", what=told, value=median(each_us), unit="µs", lowest=min(each_us), note=note)
        )
    times = ratios(taken["codec"], taken["bare"])
    found.append(
        Row(group="house-codec", what=f"{what}, times the bare cipher", value=median(times), unit="×", note=note)
    )
    return found


def _codec(size: int, count: int) -> Callable[[], object]:
    from ringfence_house.protocol.chunked import RequestOpener, RequestSealer
    from ringfence_house.protocol.hpke import generate
    from ringfence_house.protocol.keyconfig import make_key_config

    key = generate()
    sealer = RequestSealer(make_key_config(1, key.public))
    node = RequestOpener(lambda _: key)
    node.feed(sealer.seal(b"a request"))
    data = bytes(size)

    def exchanged() -> None:
        answer, opener = node.sealer(), sealer.opener()
        for _ in range(count):
            opener.feed(answer.seal(data))
        opener.feed(answer.finish())
        opener.end()

    return exchanged


def _bare(size: int, count: int) -> Callable[[], object]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(bytes(16))
    data = bytes(size)

    def exchanged() -> None:
        for number in range(count):
            nonce = number.to_bytes(12, "big")
            cipher.decrypt(nonce, cipher.encrypt(nonce, data, b""), b"")

    return exchanged
