"""`ringfence doctor` on the network: what is ignored of the environment, which keys are there, what is installed."""

from __future__ import annotations

import json
import os
import sys
from importlib import util
from typing import TYPE_CHECKING, Any

import pytest
from tests.cli.conftest import install

from ringfence import registry

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run

MANIFEST = """
name = "far"
interface = 1
summary = "far away"
capabilities = ["text"]
hosts = ["api.far.test"]
secret = "env:FAR_API_KEY"
environment = ["FAR_BASE_URL", "FAR_PROJECT", "FAR_API_KEY", "SSL_CERT_FILE"]
"""

VALUE = "secret-word-41c9"

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def far(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider of a vendor that must not be imported for this, on a machine where nothing is set."""
    install(machine.site, "far", source="raise RuntimeError", manifest=MANIFEST)
    registry.refresh()
    for plugin in registry.installed():
        for name in registry.manifest(plugin.name).environment:
            monkeypatch.delenv(name, raising=False)
    for name in (*PROXIES, *TRUST, "SSLKEYLOGFILE", "FAR_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def _findings(run: Run) -> dict[str, Any]:
    document = json.loads(run("doctor", "--json").stdout)
    assert VALUE not in json.dumps(document)
    assert len({finding["subject"] for finding in document["findings"]}) == len(document["findings"])
    return {finding["subject"]: finding for finding in document["findings"]}


def test_where_nothing_is_set_nothing_is_named(run: Run) -> None:
    said = "requests take no proxy, certificate or address from the environment"
    assert _findings(run)["environment"] == {
        "level": "ok",
        "subject": "environment",
        "detail": said,
        "way_out": None,
    }


@pytest.mark.parametrize("name", [*PROXIES, *TRUST, "FAR_BASE_URL", "FAR_PROJECT"])
def test_a_variable_that_is_ignored_is_named_without_its_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, VALUE)
    found = _findings(run)["environment"]
    assert found["detail"].endswith(f"set and ignored: {name}")
    way_out = {"FAR_": "of the recipient in the policy"}.get(name[:4], "Assistant(network=Network(")
    assert way_out in found["way_out"]


def test_a_proxy_and_certificates_each_have_their_way_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "SSL_CERT_FILE", "FAR_PROJECT"):
        monkeypatch.setenv(name, VALUE)
    found = _findings(run)["environment"]
    assert found["detail"].endswith("set and ignored: FAR_PROJECT, SSL_CERT_FILE, https_proxy")
    assert "proxy=…" in found["way_out"]
    assert "ca_file=…" in found["way_out"]


def test_a_key_that_is_read_is_not_among_the_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_API_KEY", VALUE)
    findings = _findings(run)
    assert "FAR_API_KEY" not in findings["environment"]["detail"]
    assert findings["key of far"]["level"] == "ok"
    assert findings["key of far"]["detail"] == "FAR_API_KEY is set"


@pytest.mark.parametrize("value", [None, "", "  ", "two\nlines"])
def test_a_key_that_is_missing_or_none_is_a_warning_with_the_way_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("FAR_API_KEY", value)
    found = _findings(run)["key of far"]
    assert found["level"] == "warning"
    assert "FAR_API_KEY is not set" in found["detail"]
    assert found["way_out"].startswith("export FAR_API_KEY=…")


def test_a_provider_without_a_key_has_no_line_for_it(run: Run) -> None:
    assert "key of tiny" not in _findings(run)


def test_the_plugin_is_not_imported_for_it(run: Run) -> None:
    from ringfence.cli.doctor import network_findings

    assert {finding.subject for finding in network_findings()} >= {"network", "key of far", "environment"}
    assert "ringfence_far" not in sys.modules


def test_a_manifest_that_cannot_be_read_hides_nothing(run: Run, machine: Machine) -> None:
    (machine.site / "ringfence_far" / "ringfence-provider.toml").write_text("name =")
    findings = _findings(run)
    assert findings["environment"]["level"] == "ok"
    assert findings["provider far"]["level"] == "fault"


def test_installed_packages_of_the_network_are_said(run: Run) -> None:
    assert _findings(run)["network"]["detail"] == "its packages are installed"


def test_a_missing_package_is_a_warning_with_the_way_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "httpx2" else real(name, package)

    monkeypatch.setattr(util, "find_spec", without)
    found = _findings(run)["network"]
    assert (found["level"], found["way_out"]) == ("warning", "pip install 'ringfence[network]'")
    assert "httpx2 not installed" in found["detail"]


def test_people_see_the_names_and_the_ways_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{VALUE}@proxy.test")
    shown = run("doctor").stdout
    assert "HTTPS_PROXY" in shown
    assert VALUE not in shown
    assert os.environ["HTTPS_PROXY"]


def test_a_key_that_plugins_share_is_named_once(run: Run, machine: Machine) -> None:
    install(machine.site, "farther", source="raise RuntimeError", manifest=MANIFEST.replace('"far"', '"farther"'))
    registry.refresh()
    naming = [subject for subject, finding in _findings(run).items() if "FAR_API_KEY is" in finding["detail"]]
    assert naming == ["key of far, farther"]


def test_a_narrow_window_has_what_was_found_under_its_subject(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("ringfence.cli.terminal.is_terminal", bool)
    lines = run("doctor").stdout.splitlines()
    assert max(map(len, lines)) <= 40
    place = next(number for number, line in enumerate(lines) if line.split() == ["!", "key", "of", "far"])
    assert lines[place + 1].strip().startswith("FAR_API_KEY is not set; a recipient")
