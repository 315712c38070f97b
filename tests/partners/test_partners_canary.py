"""Keys and prompts are found nowhere they may not be: errors, logs, receipts, the audit log, URLs (invariant 7)."""

from __future__ import annotations

import gc
import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import cast, get_args

import pytest
from tests.core.support import chain, drain, shown
from tests.partners.support import (
    APIS,
    GEMINI_KEY,
    ONCE,
    OPENAI_KEY,
    Api,
    Person,
    assistant,
    at,
    backend,
    body,
    policy_text,
)

from ringfence import Timeouts
from ringfence.errors import RingfenceError
from ringfence.request import ToolCallPart
from ringfence.testing import PartnerServer, Scene
from ringfence.testing.scenes import ErrorKind, Fault

PROMPT = "prompt-canary-5514-quokka"
ANSWER = "answer-canary-7731-wombat"
SECRETS = (PROMPT, ANSWER, OPENAI_KEY, GEMINI_KEY)
LOGGERS = ("", "openai", "google_genai", "google", "httpx2", "httpcore2", "aiohttp", "ringfence", "asyncio", "urllib3")
SCENES = [Scene(error=kind) for kind in get_args(ErrorKind)] + [
    Scene(text=(ANSWER, " and more"), reasoning=(ANSWER,), fault=fault, fault_at=index)
    for fault in get_args(Fault)
    for index in (0, 2, 5)
]


class Everything(logging.Handler):
    """Keeps what every record says, in every way a formatter could show it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.loggers: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.add(record.name.partition(".")[0])
        self.texts += [record.getMessage(), repr(record.args), repr(record.exc_info), repr(vars(record))]
        if record.exc_info:
            self.texts.append(logging.Formatter().formatException(record.exc_info))


@contextmanager
def everything_logged() -> Generator[Everything]:
    """All loggers at DEBUG, and a handler that keeps what they say."""
    handler = Everything()
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def leaks(where: str, texts: Iterable[str], *, allowed: str = "") -> list[str]:
    return [f"{where} holds {secret}" for text in texts for secret in SECRETS if secret != allowed and secret in text]


def texts_below(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.rglob("*") if path.is_file()]


def reachable(error: BaseException) -> list[str]:
    """What hangs on an error as attributes, three steps deep, but for the text that is meant for the app."""
    texts: list[str] = []
    todo: list[tuple[object, int]] = [(one, 0) for one in chain(error)]
    seen: set[int] = set()
    while todo:
        value, depth = todo.pop()
        if id(value) in seen or depth > 3:
            continue
        seen.add(id(value))
        if isinstance(value, str | bytes):
            texts.append(value if isinstance(value, str) else value.decode("latin-1"))
            continue
        state = getattr(value, "__dict__", {}) if not isinstance(value, type) else {}
        todo += [(item, depth + 1) for name, item in state.items() if name not in {"partial_text", "response"}]
        if isinstance(value, list | tuple | set):
            todo += [(item, depth + 1) for item in cast("Iterable[object]", value)]
    return texts


def key_faults(api: Api, server: PartnerServer) -> list[str]:
    """Whether each request has its own key in the one right header, and no other anywhere."""
    found: list[str] = []
    header, key, other = (
        ("x-goog-api-key", GEMINI_KEY, OPENAI_KEY)
        if api == "gemini"
        else ("authorization", f"Bearer {OPENAI_KEY}", GEMINI_KEY)
    )
    for seen in backend(api, server).seen():
        if seen.headers.get(header) != key:
            found.append(f"{header} is {seen.headers.get(header)}")
        rest = [f"{name}: {value}" for name, value in seen.headers.items() if name != header]
        found += leaks("the head", [*rest, seen.path, seen.query])
        if (other.encode() in seen.body) or key.rpartition(" ")[2].encode() in seen.body:
            found.append("a body holds a key")
    return found


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", APIS)
async def test_nothing_leaks_whatever_goes_wrong(
    server: PartnerServer, tmp_path: Path, api: Api, streamed: bool
) -> None:
    double = backend(api, server)
    found: list[str] = []
    limits = Timeouts(connect_s=5, first_event_s=1.0, between_events_s=0.3)
    with everything_logged() as handler:
        async with assistant(policy_text({"first": at(api, server)}), tmp_path, retry=ONCE, timeouts=limits) as asked:
            for scene in SCENES:
                double.play(scene)
                error: RingfenceError | None = None
                if streamed:
                    _, error = await drain(asked.stream(f"Say {PROMPT}", labels=["public"]))
                else:
                    try:
                        await asked.respond(f"Say {PROMPT}", labels=["public"])
                    except RingfenceError as raised:
                        error = raised
                name = f"{scene.error or scene.fault} at {scene.fault_at}"
                if error is not None:
                    found += leaks(f"{name}: the error", [shown(error), *reachable(error)])
                found += [f"{name}: {fault}" for fault in key_faults(api, server)]
            gc.collect()
    found += leaks("a log record", handler.texts)
    found += leaks("the audit log", texts_below(tmp_path))
    assert sorted(set(found)) == []
    assert "openai" in handler.loggers or api == "gemini", handler.loggers


async def test_the_key_of_one_partner_never_reaches_the_other(server: PartnerServer) -> None:
    server.openai.play(Scene(error="authentication"))
    server.gemini.play(Scene(text=("Hello",)))
    policy = policy_text({"first": at("responses", server), "second": at("gemini", server)}, fallback=["second"])
    async with assistant(policy, audit=False) as asked:
        await asked.respond(PROMPT, labels=["public"])
    assert key_faults("responses", server) == []
    assert key_faults("gemini", server) == []
    assert len(server.openai.seen()) == len(server.gemini.seen()) == 1


@pytest.mark.parametrize("api", APIS)
async def test_a_failing_consent_callback_tells_nothing_of_the_payload(server: PartnerServer, api: Api) -> None:
    def fails(question: object) -> bool:
        raise ValueError(f"{getattr(question, 'preview', '')} {OPENAI_KEY}")

    async with assistant(policy_text({"first": at(api, server)}), audit=False, person=Person(says=fails)) as asked:
        with pytest.raises(RingfenceError) as raised:
            await asked.respond(PROMPT, labels=["public"])
    assert leaks("the error", [shown(raised.value)]) == []
    assert backend(api, server).seen() == ()


@pytest.mark.parametrize("api", APIS)
async def test_a_key_that_changes_is_used_at_once(
    server: PartnerServer, monkeypatch: pytest.MonkeyPatch, api: Api
) -> None:
    variable = "PARTNERS_GEMINI_KEY" if api == "gemini" else "PARTNERS_OPENAI_KEY"
    header = "x-goog-api-key" if api == "gemini" else "authorization"
    async with assistant(policy_text({"first": at(api, server)}), audit=False) as asked:
        await asked.respond("Hello", labels=["public"])
        monkeypatch.setenv(variable, "rotated-key-1")
        await asked.respond("Hello", labels=["public"])
    heads = [seen.headers[header] for seen in backend(api, server).seen()]
    assert heads[0] != heads[1]
    assert heads[1].endswith("rotated-key-1")


@pytest.mark.parametrize("api", APIS)
async def test_an_answer_with_a_canary_in_a_call_stays_out_of_the_record(
    server: PartnerServer, tmp_path: Path, api: Api
) -> None:
    call = ToolCallPart("call_1", f"tool_{ANSWER}", f'{{"{ANSWER}": 1}}')
    backend(api, server).play(Scene(text=(ANSWER,), tool_calls=(call,)))
    async with assistant(policy_text({"first": at(api, server)}), tmp_path) as asked:
        response = await asked.respond(PROMPT, labels=["public"])
    assert leaks("the receipt", [repr(response.receipt), repr(response), repr(response.message)]) == []
    assert leaks("the audit log", texts_below(tmp_path)) == []
    assert body(backend(api, server).seen()[0])
