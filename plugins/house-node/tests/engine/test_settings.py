"""What an operator may say of an engine."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence import InvalidRequest
from ringfence_house_node.engine import EngineSettings
from ringfence_house_node.engine.assistant import engine_policy
from ringfence_house_node.engine.limits import limits_of

URL = "http://127.0.0.1:8080/v1"
SHARDED = ("mlx.launch", "-n", "3", "--", "/opt/bin/mlx_lm.server", "--model", "m")

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("no such kind", {"kind": "vllm"}),
    ("no model", {"kind": "mlx", "model": ""}),
    ("a url for a worker", {"kind": "mlx", "url": URL}),
    ("no url", {"kind": "openai"}),
    ("another machine", {"kind": "openai", "url": "http://10.0.0.7:8080/v1"}),
    ("a name that begins as ours does", {"kind": "openai", "url": "http://localhost.example.org/v1"}),
    ("a user in the url", {"kind": "openai", "url": "http://127.0.0.1@example.org/v1"}),
    ("a query", {"kind": "openai", "url": f"{URL}?a=b"}),
    ("a file", {"kind": "openai", "url": "file://127.0.0.1/etc"}),
    ("no such server", {"kind": "openai", "url": URL, "server": "ollama"}),
    ("a command for a server that runs", {"kind": "openai", "url": URL, "command": ("x",)}),
    ("no command", {"kind": "command", "url": URL}),
    ("a shared cache", {"kind": "command", "url": URL, "command": SHARDED}),
    ("a shared cache of one", {"kind": "command", "url": URL, "command": (*SHARDED, "--prompt-cache-size", "1")}),
    ("no time", {"kind": "mlx", "probe_timeout_s": 0}),
    ("no room", {"kind": "mlx", "context_tokens": 0}),
]


def _made(**fields: Any) -> EngineSettings:
    given: dict[str, Any] = {"model": "m", **fields}
    return EngineSettings(**given)


@pytest.mark.parametrize("fields", [case[1] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_it_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        _made(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "mlx"},
        {"kind": "openai", "url": "http://[::1]:8080/v1"},
        {"kind": "openai", "url": "http://localhost:8080/v1"},
        {"kind": "command", "url": URL, "command": (*SHARDED, "--prompt-cache-size", "0")},
        {"kind": "command", "url": URL, "command": (*SHARDED, "--prompt-cache-size=0")},
    ],
)
def test_it_is_taken(fields: dict[str, Any]) -> None:
    assert _made(**fields).model == "m"


@pytest.mark.parametrize(("kind", "ring"), [("mlx", "device"), ("openai", "house")])
def test_the_policy_has_one_recipient_and_no_detector(kind: Any, ring: str) -> None:
    settings = EngineSettings(kind=kind, model="m", url=None if kind == "mlx" else URL)
    policy = engine_policy(settings, limits_of(settings))
    assert [recipient.ring for recipient in policy.recipients.values()] == [ring]
    assert policy.detect_kinds == frozenset()


def test_no_layer_of_the_machine_is_put_over_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from ringfence_house_node.engine.assistant import engine_assistant

    layer = tmp_path / "layer.yaml"
    layer.write_text("version: 1\nflow:\n  - id: none\n    deny: {labels: '*', to: [device, house, partner]}\n")
    monkeypatch.setenv("RINGFENCE_LAYERS", str(layer))
    assistant = engine_assistant(EngineSettings(kind="mlx", model="m"))
    assert assistant.policy.layers == ()
    assert assistant.explain("Hello").outcome == "allow"


def test_nothing_is_enforced_by_mlx_lm_server_so_nothing_is_claimed() -> None:
    settings = EngineSettings(kind="openai", model="m", url=URL, server="mlx_lm")
    assert limits_of(settings).capabilities == frozenset({"text"})
