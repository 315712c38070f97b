"""A request is remembered for as long as its date could still be accepted, which is twice the skew."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

from support import opened, served


async def test_a_request_dated_ahead_is_remembered_until_its_date_is_too_old(tmp_path: Path) -> None:
    began, ahead_s = time.time(), 0.0
    async with served(tmp_path, clock=lambda: began + ahead_s) as house:
        sealed = house.seal(fields=house.fields(date=formatdate(began + 110, usegmt=True)))
        first = opened(await house.post(sealed.body), sealed.opener)
        ahead_s = 220.0
        second = opened(await house.post(sealed.body), sealed.again)

    assert first.status == 200
    assert (second.status, second.code) == (409, "replayed")
