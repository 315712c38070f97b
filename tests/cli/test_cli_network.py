"""A CA file and a proxy are used only as the command line says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

POLICY = """
version: 1
recipients:
  far: {ring: house, provider: openai, model: m, url: "https://127.0.0.1:1/v1"}
labels: {unclassified: {}}
unknown: unclassified
flow:
  - {id: all, allow: {labels: "*", to: [house]}}
route:
  - {id: all, prefer: [far]}
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    file = tmp_path / "far.yaml"
    file.write_text(POLICY)
    return str(file)


def test_a_file_of_authorities_that_is_none_is_said(run: Run, policy: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    result = run("ask", "--policy", policy, "--ca-file", str(tmp_path / "ca.pem"), "hello")
    assert result.exit_code == 1
    assert "the CA file of the network cannot be read, or holds no certificate" in result.stderr
    assert "--ca-file" in result.stderr


def test_a_file_of_authorities_that_is_missing_is_wrong_usage(run: Run, policy: str) -> None:
    assert run("ask", "--policy", policy, "--ca-file", "none.pem", "hello").exit_code == 2


@pytest.mark.parametrize("proxy", ["proxy.example:3128", "ftp://proxy.example", ""])
def test_a_proxy_that_is_none_is_said(run: Run, policy: str, proxy: str) -> None:
    result = run("ask", "--policy", policy, "--proxy", proxy, "hello")
    assert result.exit_code != 0
    assert "a proxy is the URL of an HTTP proxy" in result.stderr


def test_what_goes_through_a_proxy_that_is_not_there_goes_nowhere(run: Run, policy: str) -> None:
    result = run("ask", "--policy", policy, "--proxy", "http://127.0.0.1:1", "hello")
    assert result.exit_code == 1
    assert "no connection" in result.stderr
