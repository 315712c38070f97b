"""A recipient's secret: where it is read, and what is no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringfence.errors import Unavailable
from ringfence.recipient import Recipient, Secret

KEY = "sk-canary-1234"


def test_a_secret_is_read_from_a_variable_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("env:SOME_KEY")
    monkeypatch.setenv("SOME_KEY", f" {KEY}\n")
    assert secret.read() == KEY
    monkeypatch.setenv("SOME_KEY", "another")
    assert secret.read() == "another"


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
    assert Secret(f"file:{tmp_path}/key").read() == KEY


@pytest.mark.parametrize("content", ["", "  \n", "clé", "two\nlines", "k" * 20_000])
def test_what_cannot_be_a_key_is_refused_and_not_shown(content: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(content, encoding="utf-8")
    secret = Secret(f"file:{tmp_path}/key")
    with pytest.raises(Unavailable) as caught:
        secret.read()
    assert caught.value.reason == "not_configured"
    assert not content.strip() or content not in str(caught.value)
    assert not secret.present()


def test_a_pipe_or_a_folder_in_the_place_of_a_key_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not Secret(f"file:{tmp_path}/pipe").present()
    assert not Secret(f"file:{tmp_path}").present()


def test_a_recipient_with_a_url_of_its_own_gets_no_key_of_the_vendor() -> None:
    def recipient(**fields: object) -> Recipient:
        return Recipient(name="r", ring="partner", provider="openai", model="m", **fields)  # type: ignore[arg-type]

    usual = "env:OPENAI_API_KEY"
    assert recipient().credential(usual) == Secret(usual)
    assert recipient(url="https://x.example").credential(usual) is None
    own = Secret("env:OWN")
    assert recipient(url="https://x.example", secret=own).credential(usual) == own
