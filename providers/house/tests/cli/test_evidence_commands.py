"""`ringfence house evidence` against a directory on loopback, with a real repository and real evidence."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result
from providers.house.tests.tls import serving_no_tls, serving_tls

from ringfence.cli.root import root
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import DevelopmentCa, FileKey
from ringfence_house.attestation.evidence import make_directory
from ringfence_house.attestation.issue import issue_evidence
from ringfence_house.attestation.trust import make_trust
from ringfence_house.protocol.hpke import generate
from ringfence_house.protocol.keyconfig import KeyConfig, make_key_config
from ringfence_house.protocol.names import EVIDENCE_PATH, RELEASES_PATH
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.repository import Repository

DIGESTS = {name: digit * 64 for name, digit in (("code", "a"), ("model", "b"), ("config", "c"))}
CHECKS = ["form", "type", "endorsement", "binding", "signature", "claims", "key", "release", "device", "model"]


class House:
    """Two nodes, a repository and what stands between them and the operator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = DevelopmentCa.open(folder / "ca", time.time())
        self.key = FileKey.open(folder / "ak.pem")
        self.configs = [make_key_config(number, generate().public) for number in (1, 2)]
        self.asked: list[str] = []
        self.lies: dict[str, tuple[int, bytes]] = {}
        self.alter: Callable[[bytes], bytes] = bytes
        self._publish()
        (folder / "trust.json").write_bytes(make_trust(self.repository.root_bytes(), [self.ca.root]))

    def _publish(self) -> None:
        now = int(time.time())
        self.repository = Repository.create(self.folder / "releases", keys=self.folder / "keys")
        for name, model in (("r1", "large"), ("r2", "small")):
            release = Release(
                id=name,
                code=DIGESTS["code"],
                model=model,
                model_digest=DIGESTS["model"],
                config=DIGESTS["config"],
                not_before=now - 60,
                not_after=now + 86_400,
                capabilities=frozenset({"text"}),
                context_tokens=8192,
            )
            self.repository.add_release(release)
        self.repository.add_device(Device(serial="DEVELOP00001", ueid="node-1"))
        self.repository.publish()

    def evidence(self, config: KeyConfig, nonce: str | None = None) -> bytes:
        now = time.time()
        x5c = self.ca.issue_leaf(self.key.spki(), serial="DEVELOP00001", udid="0" * 32, os_version="15.1", now=now)
        release = ReleaseClaim(id=f"r{config.key_id}", **DIGESTS)  # type: ignore[typeddict-item]
        return issue_evidence(
            self.key,
            x5c,
            "software-dev",
            key_config=config,
            release=release,
            ueid="node-1",
            boot="b" * 22,
            now=now,
            life_s=600,
            nonce=nonce,
        ).encoded

    def answer(self, target: str) -> tuple[int, bytes]:
        self.asked.append(target)
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path in self.lies:
            return self.lies[path]
        if path == EVIDENCE_PATH:
            return 200, self.alter(make_directory([self.evidence(config) for config in self.configs]))
        for config in self.configs:
            if path == f"/house/v1/nodes/{config.kid}/evidence":
                return 200, self.evidence(config, query["nonce"][0])
        file = self.folder / "releases" / path.removeprefix(RELEASES_PATH)
        return (200, file.read_bytes()) if path.startswith(RELEASES_PATH) and file.is_file() else (404, b"")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def url(house: House) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, data = house.answer(self.path)
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.send_header("location", "/elsewhere")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (the name of the base)
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def _type(*words: str, exits: int = 0) -> Result:
    result = CliRunner().invoke(root, ["house", "evidence", *words])
    assert result.exit_code == exits, result.output
    return result


def _verify(house: House, url: str, *words: str, exits: int = 0) -> Any:
    trust = str(house.folder / "trust.json")
    result = _type("verify", url, "--trust", trust, "--min-tier", "software-dev", "--json", *words, exits=exits)
    return json.loads(result.stdout)


def test_show_prints_what_nodes_claim_and_says_that_nothing_is_verified(house: House, url: str) -> None:
    result = _type("show", url)

    for config in house.configs:
        assert config.kid[:12] in result.stdout
    assert "r1" in result.stdout
    assert "nothing of this is verified" in result.stderr
    assert house.asked == [EVIDENCE_PATH]


def test_show_has_the_claims_whole_in_json(house: House, url: str) -> None:
    nodes = json.loads(_type("show", url, "--json").stdout)["nodes"]

    assert [node["kid"] for node in nodes] == [config.kid for config in house.configs]
    assert nodes[0]["release"] == {"id": "r1", **DIGESTS}


def test_show_says_which_evidence_cannot_be_read(house: House, url: str) -> None:
    house.lies[EVIDENCE_PATH] = (200, b'{"nodes":[{"v":9}],"v":1}')

    assert "of a version that is not known here" in _type("show", url).stdout


def test_verify_lists_every_check_of_every_node(house: House, url: str) -> None:
    report = _verify(house, url)

    assert report["holds"] is True
    assert [node["verified"]["kid"] for node in report["nodes"]] == [config.kid for config in house.configs]
    for node in report["nodes"]:
        assert [check["name"] for check in node["checks"]] == [*CHECKS, "duplicate"]
        assert {check["verdict"] for check in node["checks"]} == {"passed"}


def test_verify_prints_a_table_and_that_it_is_development(house: House, url: str) -> None:
    trust = str(house.folder / "trust.json")
    result = _type("verify", url, "--trust", trust, "--min-tier", "software-dev")

    for check in CHECKS:
        assert check in result.stdout
    assert "2 of 2 nodes may be used" in result.stderr
    assert "DEVELOPMENT" in result.stderr


def test_verify_wants_apples_word_unless_told_otherwise(house: House, url: str) -> None:
    result = _type("verify", url, "--trust", str(house.folder / "trust.json"), exits=1)

    assert "apple-mda is asked for" in result.stdout
    assert "not reached" in result.stdout
    assert "0 of 2 nodes may be used" in result.stderr
    assert "try: --min-tier software-dev" in result.stderr


def test_verify_of_one_model_leaves_the_others_out(house: House, url: str) -> None:
    report = _verify(house, url, "--model", "small")

    assert [node["verified"]["model"] for node in report["nodes"]] == ["small"]


def test_verify_of_a_model_that_no_node_serves_names_those_that_are_served(house: House, url: str) -> None:
    error = _verify(house, url, "--model", "other", exits=1)["error"]

    assert error["type"] == "AttestationFailed"
    assert error["message"].startswith("no verified node serves 'other'; served here: large, small (try: model: ")


def test_a_model_that_no_verified_node_serves_hides_no_node_that_was_refused(house: House, url: str) -> None:
    house.alter = lambda directory: directory.replace(b'"eat":"ey', b'"eat":"ez', 1)

    assert [node["verified"] for node in _verify(house, url, "--model", "other", exits=1)["nodes"]] == [None]


def test_verify_asks_each_node_with_a_nonce(house: House, url: str) -> None:
    assert _verify(house, url, "--nonce")["holds"] is True

    asked = [target for target in house.asked if "/nodes/" in target]
    assert len(asked) == 2
    assert all("?nonce=" in target for target in asked)


def test_a_node_that_gives_no_fresh_evidence_fails(house: House, url: str) -> None:
    house.lies[f"/house/v1/nodes/{house.configs[0].kid}/evidence"] = (503, b"")

    report = _verify(house, url, "--nonce", exits=1)

    verified = [node for node in report["nodes"] if node["verified"] is not None]
    failed = next(node for node in report["nodes"] if node["verified"] is None)
    assert [node["verified"]["kid"] for node in verified] == [house.configs[1].kid]
    assert failed["checks"][0]["detail"] == "the node gave no evidence that is made now"


def test_old_evidence_in_answer_to_a_nonce_fails(house: House, url: str) -> None:
    path = f"/house/v1/nodes/{house.configs[0].kid}/evidence"
    house.lies[path] = (200, house.evidence(house.configs[0], "an-earlier-nonce"))

    report = _verify(house, url, "--nonce", exits=1)

    failed = next(node for node in report["nodes"] if node["verified"] is None)
    assert [check["detail"] for check in failed["checks"] if check["verdict"] == "failed"] == [
        "the token does not hold the nonce that was asked for"
    ]


def test_one_bad_node_is_enough_to_fail(house: House, url: str) -> None:
    house.alter = lambda directory: directory.replace(b'"eat":"ey', b'"eat":"ez', 1)

    report = _verify(house, url, exits=1)

    assert [node["verified"] is None for node in report["nodes"]] == [True, False]


def test_releases_of_another_house_are_refused(house: House, url: str, tmp_path: Path) -> None:
    other = Repository.create(tmp_path / "other", keys=tmp_path / "other-keys")
    (house.folder / "trust.json").write_bytes(make_trust(other.root_bytes(), [house.ca.root]))

    result = _type("verify", url, "--trust", str(house.folder / "trust.json"), "--json", exits=1)

    error = json.loads(result.stdout)["error"]
    assert error["type"] == "AttestationFailed"
    assert "not signed by enough of its keys (try: is this the trust file of this house?" in error["message"]


@pytest.mark.parametrize(
    ("path", "lie", "words"),
    [
        (EVIDENCE_PATH, (503, b""), "no node that is ready yet, or it is draining (HTTP 503) (try: try again"),
        (f"{RELEASES_PATH}metadata/timestamp.json", (404, b""), "check the URL: its path"),
        (f"{RELEASES_PATH}metadata/timestamp.json", (503, b""), "no node that is ready yet"),
        (EVIDENCE_PATH, (302, b""), "answered HTTP 302"),
        (EVIDENCE_PATH, (502, b"<html>SECRET</html>"), "answered HTTP 502"),
        (EVIDENCE_PATH, (404, b""), "not at that address (HTTP 404) (try: check the URL: its path)"),
        (EVIDENCE_PATH, (200, b" " * 5_000_000), "longer than 4,194,304 bytes"),
        (EVIDENCE_PATH, (200, b'{"nodes":[],"v":1}'), "names no node"),
        (f"{RELEASES_PATH}metadata/timestamp.json", (500, b""), "answered HTTP 500"),
    ],
)
def test_a_house_that_answers_wrongly_is_an_error(
    path: str, lie: tuple[int, bytes], words: str, house: House, url: str
) -> None:
    house.lies[path] = lie

    error = _verify(house, url, exits=1)["error"]

    assert words in error["message"]
    assert "SECRET" not in error["message"]
    assert "/elsewhere" not in house.asked


@pytest.mark.parametrize(
    "address",
    [
        "http://house.example",
        "ftp://127.0.0.1",
        "house.example",
        "https://name:secret@house.example",
        "https://house.example/?next=1",
        "https://[",
    ],
)
def test_an_address_that_evidence_may_not_be_asked_of_is_wrong_usage(address: str) -> None:
    result = _type("show", address, exits=2)

    assert "secret" not in result.stderr
    assert "try: https://house.example" in result.stderr


def test_a_house_that_is_down_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"

        said = _type("show", address, exits=1).stderr

    assert "error: the house cannot be reached: no connection\n" in said
    assert "try: check the network, and the URL: scheme, host and port" in said


def test_https_to_a_port_of_http_says_so() -> None:
    with serving_no_tls() as address:
        said = _type("show", address, exits=1).stderr

    assert "the house cannot be reached: no TLS connection" in said
    assert "try: check the URL: https or http, and the port" in said


def test_a_certificate_that_is_not_trusted_says_so(tmp_path: Path) -> None:
    with serving_tls(tmp_path) as address:
        said = _type("show", address, exits=1).stderr

    assert "the server's certificate is not trusted" in said
    assert "--ca-file" in said


def test_no_tier_is_offered_that_nothing_here_verifies() -> None:
    assert "appattest" not in _type("verify", "--help").stdout


def test_a_report_has_one_line_for_each_check_at_80_columns(
    house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.cli.terminal.WIDTH_WITHOUT_TERMINAL", 80)
    trust = str(house.folder / "trust.json")
    lines = _type("verify", url, "--trust", trust, "--min-tier", "software-dev").stdout.splitlines()

    assert len(lines) == 2 * (1 + 1 + len(CHECKS) + 1)
    assert lines[0].startswith(f"node 1: {house.configs[0].kid[:12]}, until ")
