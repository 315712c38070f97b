"""The command line: wrong usage says what to do; a development house is one command, drained on SIGTERM."""

from __future__ import annotations

import asyncio
import configparser
import json
import logging
import plistlib
import re
import signal
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from support import CANARY, opened, until

from ringfence import Policy
from ringfence.policy.loading import read_policy
from ringfence_house.attestation.node import VerifiedNode
from ringfence_house.attestation.trust import read_trust
from ringfence_house.attestation.verify import verify_directory
from ringfence_house.protocol import names
from ringfence_house.protocol.bhttp import encode_request
from ringfence_house.protocol.chunked import RequestSealer
from ringfence_house.releases.faults import Missing
from ringfence_house.releases.reader import ReleaseReader
from ringfence_house_node.cli import root
from ringfence_house_node.server.listening import where
from ringfence_house_node.server.serving import Address, Server, bind

ENGINE = ["--engine", "openai", "--engine-url", "http://127.0.0.1:9/v1"]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Generator[None]:
    """A command sets up the log of its process, which here is the tests'."""
    loggers = [logging.getLogger(name) for name in ("ringfence_house_node", "ringfence_house_node.access")]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    last_resort = logging.lastResort
    yield
    logging.lastResort = last_resort
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        root.main([*args], prog_name="ringfence-node")
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("command", ["serve", "directory", "unit", "nonce", "measure"])
def test_help_names_every_value(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(command, "--help") == 0
    shown = capsys.readouterr().out
    assert not re.findall(r"(?:FLOAT|INTEGER) RANGE|<\w+ \w+>\.\.\.", shown)
    assert command != "serve" or "--queue-seconds SECONDS" in shown


@pytest.mark.parametrize(
    ("args", "says", "way_out"),
    [
        (["serve"], "missing option '--model'", "--help"),
        (
            ["serve", "--model", "m"],
            "a node needs --attestor apple-mda, --chain, --ueid, --release, --weights",
            "--dev",
        ),
        (["serve", "--model", "m", "--dev", "--release", "r1"], "without --release", "leave one of them out"),
        (["serve", "--model", "m", "--state", "x"], "--state is the folder of --dev", "add --dev"),
        (["serve", "--model", "m", "--dev", *ENGINE, "--host", "0.0.0.0"], "without TLS", "--behind-proxy"),
        (
            ["serve", "--model", "m", "--dev", *ENGINE, "--host", "0.0.0.0", "--behind-proxy"],
            "for this machine alone",
            "--host 127.0.0.1",
        ),
        (["serve", "--model", "m", "--dev", *ENGINE, "--cert", __file__], "needs its key", "both --cert and --key"),
        (["serve", "--model", "m", "--dev", *ENGINE, "--cert", __file__, "--key", __file__], "cannot be used", "PEM"),
        (
            ["serve", "--model", "m", "--dev", "--engine", "openai"],
            "has no url",
            "--engine-url http://127.0.0.1:8080/v1",
        ),
        (["serve", "--model", "m", "--dev", *ENGINE[:3], "http://10.0.0.1/v1"], "loopback", "http://127.0.0.1:8080/v1"),
        (["serve", "--model", "m", "--dev", *ENGINE, "--callers", __file__], "callers' file", "sha256"),
        (["serve", "--model", "m", "--dev", "--key-life-seconds", "4000"], "--key-life-seconds", "--help"),
        (["serve", "--model", "m", "--dev", *ENGINE, "--engine-key", "k"], "no place", "--engine-key env:NAME"),
        (["serve", "--model", "m", "--dev", "--engine-key", "env:K"], "has no key", "leave --engine-key out"),
        (
            ["directory", "--node", "http://127.0.0.1:9", "--cert", __file__, "--key", __file__, "--behind-proxy"],
            "either a proxy",
            "leave out --behind-proxy",
        ),
        (["directory", "--node", "foo"], "no base URL", "--node http://"),
        (["directory", "--node", "ftp://x"], "no base URL", "--node http://"),
        (["directory", "--node", "http://[x"], "no base URL", "--node http://"),
        (["directory", "--releases", "."], "missing option '--node'", "--help"),
        (["directory", "--node", "http://127.0.0.1:9", "--host", "::"], "without TLS", "--cert and --key"),
        (["directory", "--node", "http://127.0.0.1:9", "--state", ".", "--releases", "."], "twice", "either"),
        (["unit", "upstart"], "upstart", "--help"),
    ],
)
def test_wrong_usage_says_what_to_do(
    args: list[str], says: str, way_out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*args) == 2
    said = capsys.readouterr().err
    assert says.lower() in said.lower()
    assert way_out in said


def test_a_node_without_named_callers_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callers = tmp_path / "callers"
    callers.write_text(f"alice {'0' * 64}\n")
    identity = ["--attestor", "apple-mda", "--ueid", "u", "--release", "r1", "--weights", __file__, "--chain", __file__]
    # Its port is taken, so that no node starts; what is said is said before.
    taken = bind(Address(host="127.0.0.1", port=0))
    serve = ["serve", "--model", "m", *ENGINE, *identity, "--port", str(taken.socket.getsockname()[1])]

    assert run(*serve) == 2
    assert "all of them are one caller" in capsys.readouterr().err
    assert run(*serve, "--callers", str(callers)) == 2
    assert "one caller" not in capsys.readouterr().err
    taken.socket.close()


@pytest.mark.parametrize(
    "args",
    [
        ["serve", "--model", "m", "--dev", *ENGINE, "--engine-key", f"sk-{CANARY}"],
        ["directory", "--node", f"https://user:{CANARY.replace(' ', '-')}@a.example"],
    ],
)
def test_what_may_be_a_key_or_a_password_is_not_repeated(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*args) == 2
    assert "canary" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("engine", "says", "way_out"),
    [
        ([], "no model named 'nix'", "ringfence models"),
        ([*ENGINE, "--engine-key", "env:NO_KEY"], "not set", "export NO_KEY"),
    ],
)
def test_an_engine_that_can_never_work_ends_the_node_before_it_says_a_recipient(
    engine: list[str], says: str, way_out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("serve", "--model", "nix", "--dev", "--state", str(tmp_path / "s"), "--port", "0", *engine) == 1
    said = capsys.readouterr().err
    assert says in said
    assert way_out in said
    assert "recipients:" not in said
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("host", "behind_proxy", "url"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:{port}"),
        ("0.0.0.0", False, "http://YOUR-HOST:{port}"),
        ("0.0.0.0", True, "https://YOUR-HOST"),
        ("127.0.0.1", True, "https://YOUR-HOST"),
    ],
)
def test_a_name_that_is_not_known_here_is_a_placeholder(host: str, *, behind_proxy: bool, url: str) -> None:
    bound = bind(Address(host=host, port=0, behind_proxy=behind_proxy))
    assert bound.client_url == url.format(port=bound.socket.getsockname()[1])
    assert bound.client_url in where(bound)
    bound.socket.close()


def test_a_port_that_is_taken_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    taken = bind(Address(host="127.0.0.1", port=0))
    port = taken.socket.getsockname()[1]

    assert run("directory", "--node", "http://127.0.0.1:9", "--port", str(port)) == 2
    assert "cannot listen" in capsys.readouterr().err
    taken.socket.close()


def test_units_are_well_formed_and_leave_time_to_drain(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("unit", "launchd") == 0
    unit = plistlib.loads(capsys.readouterr().out.encode())
    assert run("unit", "systemd") == 0
    service = configparser.ConfigParser(strict=False, interpolation=None)
    service.optionxform = str  # type: ignore[assignment, method-assign]
    service.read_string(capsys.readouterr().out)

    assert unit["ProgramArguments"][0].endswith("ringfence-node")
    assert (unit["ExitTimeOut"], unit["HardResourceLimits"]["Core"]) == (60, 0)
    assert (service["Service"]["TimeoutStopSec"], service["Service"]["LimitCORE"]) == ("60", "0")


def test_measures_are_the_same_for_the_same_and_other_for_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(*args: str) -> dict[str, str]:
        assert run("measure", "--json", "--model", "m", *ENGINE, *args) == 0
        return dict(json.loads(capsys.readouterr().out))

    (tmp_path / "weights").write_bytes(b"1")
    plain, again, other = measured(), measured(), measured("--context-tokens", "5")
    weighed = measured("--weights", str(tmp_path / "weights"))

    assert plain == again
    assert {name for name in plain if plain[name] != other[name]} == {"config"}
    assert {name for name in plain if plain[name] != weighed[name]} == {"model"}


# Real processes.


class Engine:
    """A server that speaks Chat Completions: a word, a wait while it is held, another word."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.asked: list[bytes] = []

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        if not json.loads(body).get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
            return JSONResponse(
                {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            )
        self.asked.append(body)
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncGenerator[bytes, None]:
        yield self._event({"role": "assistant", "content": "one "})
        await self.go_on.wait()
        yield self._event({"content": "two"})
        yield self._event({}, "stop")
        yield b"data: [DONE]\n\n"

    @staticmethod
    def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()


class Process:
    """A `ringfence-node` of its own."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready

    async def end(self) -> tuple[int, str]:
        """The exit code after SIGTERM, and what was said on stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


@asynccontextmanager
async def started(*args: str) -> AsyncGenerator[Process, None]:
    command = "from ringfence_house_node.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", command, *args, "--json", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line, (await process.communicate())[1].decode()
        yield Process(process, json.loads(line))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def engine() -> AsyncGenerator[tuple[Engine, str], None]:
    double, bound = Engine(), bind(Address(host="127.0.0.1", port=0))
    url = bound.url
    server = Server(Router([Route("/v1/chat/completions", double.answer, methods=["POST"])]), bound)
    try:
        yield double, f"{url}/v1"
    finally:
        await server.close()


def cores(pid: int) -> list[str] | None:
    """The soft and hard limit of a process for core dumps, where the system says them."""
    limits = Path(f"/proc/{pid}/limits")
    if not limits.exists():
        return None
    return next(line.split()[4:6] for line in limits.read_text().splitlines() if line.startswith("Max core file size"))


def fetched(url: str) -> Any:
    def fetch(path: str) -> bytes:
        response = httpx2.get(url + names.RELEASES_PATH + path, trust_env=False)
        if response.status_code == 404:
            raise Missing
        return response.content

    return fetch


async def nodes_of(recipient: dict[str, str], kept: Path) -> tuple[VerifiedNode, ...]:
    """The nodes that a client believes in, by its policy's recipient."""
    trust = read_trust(Path(recipient["trust"]))
    url = recipient["directory"]
    reference = await asyncio.to_thread(ReleaseReader(trust.root, kept, fetched(url)).refresh, time.time())
    async with httpx2.AsyncClient(trust_env=False) as http:
        data = (await http.get(url + names.EVIDENCE_PATH)).content
    found = verify_directory(data, reference, trust.verifiers(), min_tier="software-dev", model="m", now=time.time())
    assert not found.refused
    return found.nodes


def sealed(node: VerifiedNode, text: str) -> tuple[RequestSealer, bytes]:
    content = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}).encode()
    fields = {
        "content-type": "application/json",
        "date": formatdate(usegmt=True),
        names.EVIDENCE_FIELD: node.digest,
        names.EXPECT_FIELD: f"{node.release.id} {node.release.model}",
    }
    sealer = RequestSealer(node.key_config)
    lines = [(name.encode(), value.encode()) for name, value in fields.items()]
    plain = encode_request("POST", "https", names.AUTHORITY, names.CHAT_PATH, lines, content, 1024)
    return sealer, sealer.finish(plain)


async def test_a_development_house_is_one_command_a_node_and_drains_on_sigterm(tmp_path: Path) -> None:
    state = ["--dev", "--state", str(tmp_path / "state")]
    async with engine() as (double, url):
        serve = ["serve", "--model", "m", "--engine", "openai", "--engine-url", url, *state]
        async with started(*serve) as first, started(*serve) as second:
            both = ["--node", first.ready["url"], "--node", second.ready["url"], "--every", "0.1"]
            async with started("directory", *both, "--state", str(tmp_path / "state")) as directory:
                recipient = {**first.ready["recipient"], "directory": directory.ready["url"]}
                async with asyncio.timeout(30):
                    while len(found := await nodes_of(recipient, tmp_path / "kept")) < 2:  # noqa: ASYNC110  (of another process)
                        await asyncio.sleep(0.1)
                assert (await directory.end())[0] == 0
            assert cores(first.ready["pid"]) in (["0", "0"], None)
            assert {node.serial for node in found} == {first.ready["serial"], second.ready["serial"]}

            node = next(node for node in found if node.serial == first.ready["serial"])
            double.go_on.clear()
            sealer, body = sealed(node, CANARY)
            asked = len(double.asked)
            async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
                headers = {"content-type": names.REQUEST_TYPE, names.NODE_HEADER: node.kid}
                answering = asyncio.create_task(
                    http.post(first.ready["url"] + names.OHTTP_PATH, content=body, headers=headers)
                )
                await until(lambda: len(double.asked) > asked)
                ending = asyncio.create_task(first.end())
                await asyncio.sleep(0.2)
                assert not ending.done()
                double.go_on.set()
                inner = opened(await answering, sealer.opener())
            code, said = await ending

            assert (inner.status, inner.whole, code) == (200, True, 0)
            assert b"two" in inner.content
            assert any(CANARY.encode() in body for body in double.asked)
            assert CANARY not in said
            assert "finishing 1 request, at most 30 s; Ctrl-C again ends at once" in said
            # Nobody asked for an access log.
            assert names.OHTTP_PATH not in said
            assert policy_of(said).recipients["our-house"].directory == first.ready["url"]
            assert (await second.end())[0] == 0
    written = contents(tmp_path)
    assert len(written) > 10
    assert not [content for content in written if b"canary" in content]


def policy_of(said: str) -> Policy:
    """A policy with the recipient as the node prints it."""
    lines = said.splitlines()
    start = lines.index("recipients:")
    written = "\n".join(line for line in lines[start : start + 8] if not line.startswith("2"))
    rest = 'labels: {any: {}}\nunknown: any\nflow: [{id: a, allow: {labels: "*", to: [house]}}]\n'
    route = "route: [{id: b, prefer: [our-house]}]\n"
    return read_policy(f"version: 1\nname: t\n{written}\n{rest}{route}", source="printed")


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
