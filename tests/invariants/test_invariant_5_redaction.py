"""Invariant 5: redaction is one point. The wire, previews, logs, errors and receipts see what the recipient sees."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import ONCE, drain, shown
from tests.invariants.answers import policy
from tests.invariants.support import ANNA, BERTA, Mail, detectors, law, run, state
from tests.partners.support import partner

from ringfence import AsyncAssistant, ConsentRequest
from ringfence.errors import RingfenceError, StreamBroken
from ringfence.grant import Grant
from ringfence.privacy.material import request_texts
from ringfence.provider import Plan
from ringfence.response import ProviderEvent
from ringfence.testing import PartnerServer, ScriptedProvider, text_events

VALUES = (ANNA, BERTA)
pieces = st.sampled_from((*VALUES, json.dumps({"to": ANNA}), "[MAIL-1-", "[", " ", "\n", '"', "\\", "é", "😀", "and"))
said = st.lists(pieces, min_size=1, max_size=8).map(lambda some: "I " + " ".join(some))
ENDINGS = ("answers", "breaks", "raises", "is refused")


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with detectors(mail=Mail()):
        yield


class Told(logging.Handler):
    """All that is logged, at any level, by anybody."""

    def __init__(self) -> None:
        super().__init__(1)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {vars(record)!r} {logging.Formatter().format(record)}")


@contextmanager
def listening() -> Generator[Told]:
    told, root = Told(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "ringfence", "httpx2", "openai", "google_genai")}
    for name in levels:
        logging.getLogger(name).setLevel(1)
    root.addHandler(told)
    try:
        yield told
    finally:
        root.removeHandler(told)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class Echo(ScriptedProvider):
    """Says again what it was told, and ends as it is told to."""

    def __init__(self, ending: str) -> None:
        super().__init__()
        self._ending = ending

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        self.requests.append(plan.request)
        events = text_events(*plan.request.messages[-1].text)
        for event in events if self._ending == "answers" else events[:-3]:
            yield event
        if self._ending == "breaks":
            raise StreamBroken("cut")
        if self._ending == "raises":
            raise ValueError(f"no answer about {plan.request.messages[-1].text}")


@law(30)
@given(text=said, kind=st.sampled_from(("pseudonym", "mask", "remove")), ending=st.sampled_from(ENDINGS))
def test_invariant_5_everybody_but_the_user_sees_the_redacted_text(text: str, kind: str, ending: str) -> None:
    far, everything = Echo(ending), list[str]()

    def person(question: ConsentRequest) -> bool:
        everything.extend((question.preview, repr(question), *request_texts(question.payload)))
        return ending != "is refused"

    async def ask(folder: str) -> None:
        providers = {"far": far, "other": Echo("raises")}
        rules = policy(redact=kind)
        async with AsyncAssistant(
            rules, providers=providers, audit=Path(folder, "audit"), consent=person, retry=ONCE
        ) as it:
            stream = it.stream(text, instructions="")
            _, error = await drain(stream)
            everything.extend((repr(it), repr(stream), repr(stream.receipt), repr(it.explain(text).as_dict())))
            if error is not None:
                assert ending != "answers"
                everything.append(shown(error))
                partial = getattr(error, "partial_text", "")
                assert kind != "pseudonym" or ending == "is refused" or text.startswith(partial)
                return
            response = await stream.response()
            everything.extend((repr(response), json.dumps(response.receipt.as_dict())))
            if kind == "pseudonym":
                assert response.text == text

    with listening() as told, state() as folder:
        run(ask(folder))
        everything.extend(path.read_text(errors="replace") for path in Path(folder).rglob("*") if path.is_file())
    for request in far.requests:
        everything.extend((*request_texts(request), repr(request)))
    for told_ in (*everything, *told.lines):
        assert not any(value in told_ for value in VALUES)


@pytest.fixture(scope="module")
def server() -> Iterator[PartnerServer]:
    with PartnerServer() as server:
        yield server


@law(12)
@given(
    text=said,
    kind=st.sampled_from(("pseudonym", "mask", "remove")),
    api=st.sampled_from(("responses", "chat", "gemini")),
)
def test_invariant_5_no_value_is_on_the_wire_of_a_partner(
    text: str, kind: str, api: Any, server: PartnerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTNERS_OPENAI_KEY", "key")
    monkeypatch.setenv("PARTNERS_GEMINI_KEY", "key")
    backend = server.gemini if api == "gemini" else server.openai
    backend.play()

    async def ask() -> RingfenceError | None:
        rules = policy(redact=kind, far=partner(api, backend.url))
        providers = {"other": ScriptedProvider()}
        async with AsyncAssistant(rules, providers=providers, audit=False, consent=lambda _: True) as it:
            return (await drain(it.stream(text, instructions="")))[1]

    with listening() as told:
        error = run(ask())
    assert error is None
    (seen,) = backend.seen()
    wire = "\n".join((seen.path, seen.query, repr(seen.headers), seen.body.decode(), *told.lines))
    assert not any(value in wire for value in VALUES)
