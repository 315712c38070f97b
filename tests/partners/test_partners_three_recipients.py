"""One app, three recipients: only the policy file changes where the answer comes from. The app runs as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.partners.support import GEMINI_KEY, OPENAI_KEY, Api, backend, body

from ringfence.testing import PartnerServer, Scene

FOLDER = Path(__file__).parents[2] / "examples" / "three_recipients"
QUESTION = "Name one thing that people take to the beach. Answer with one word."
PARTNERS: dict[str, tuple[Api, str, str]] = {
    "openai": ("chat", "PARTNERS_OPENAI_KEY", "gpt-5.2"),
    "gemini": ("gemini", "PARTNERS_GEMINI_KEY", "gemini-3-flash"),
}


def run(policy: Path, says: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "app.py"), str(policy)],
        env={**os.environ, "RINGFENCE_STATE_DIR": str(tmp_path / "state")},
        input=says,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def with_url(name: str, server: PartnerServer, tmp_path: Path) -> Path:
    """The example's policy, with the address and the key of the double at the recipient; nothing else is changed."""
    api, variable, model = PARTNERS[name]
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    more = f'model: {model}, url: "{backend(api, server).url}", secret: "env:{variable}"'
    changed = text.replace(f"model: {model}", more)
    assert changed != text
    path = tmp_path / f"{name}.yaml"
    path.write_text(changed, encoding="utf-8")
    return path


@pytest.mark.model
def test_on_the_device_nobody_is_asked(server: PartnerServer, tmp_path: Path) -> None:
    done = run(FOLDER / "device.yaml", "", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.fullmatch(r"(?s).+\n— assistant \(device\), \d+ tokens, policy device\n", done.stdout), done.stdout
    assert "May this go" not in done.stdout
    assert server.openai.seen() == server.gemini.seen() == ()


@pytest.mark.parametrize("name", PARTNERS)
def test_with_a_yes_the_partner_answers(server: PartnerServer, tmp_path: Path, name: str) -> None:
    api, _, model = PARTNERS[name]
    backend(api, server).play(Scene(text=("Sun", "screen")))
    done = run(with_url(name, server, tmp_path), "y\n", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == (
        "May this go to assistant (partner)? Labels: public\n"
        f"    {QUESTION}\n"
        "[y/N] Sunscreen\n"
        f"— assistant (partner), 7 tokens, policy {name}\n"
    )
    (seen,) = backend(api, server).seen()
    other = server.openai if name == "gemini" else server.gemini
    assert other.seen() == ()
    sent = body(seen)
    if name == "openai":
        assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
        assert seen.headers["authorization"] == f"Bearer {OPENAI_KEY}"
        assert (sent["model"], sent["stream"], sent["max_tokens"]) == (model, False, 200)
        assert sent["messages"] == [{"role": "user", "content": QUESTION}]
    else:
        assert (seen.method, seen.path) == ("POST", f"/v1beta/models/{model}:generateContent")
        assert seen.headers["x-goog-api-key"] == GEMINI_KEY
        assert sent["contents"] == [{"role": "user", "parts": [{"text": QUESTION}]}]
        assert sent["generationConfig"]["maxOutputTokens"] == 200


@pytest.mark.parametrize(
    ("name", "says"), [("openai", "n\n"), ("gemini", ""), ("openai", "yes please\n")], ids=["no", "end", "other"]
)
def test_with_a_no_nothing_arrives(server: PartnerServer, tmp_path: Path, name: str, says: str) -> None:
    done = run(with_url(name, server, tmp_path), says, tmp_path)
    assert done.returncode == 1
    assert "ConsentRefused" in done.stderr
    assert "Sunscreen" not in done.stdout
    assert QUESTION not in done.stderr
    assert server.openai.seen() == server.gemini.seen() == ()


def test_the_three_policies_differ_in_their_recipient_and_flow_only() -> None:
    """The app itself names no recipient, provider, model, key or address."""
    app = (FOLDER / "app.py").read_text(encoding="utf-8").partition('"""\n')[2]
    for word in ("openai", "gemini", "mlx", "gpt", "http", "KEY", "url", "device"):
        assert word not in app
