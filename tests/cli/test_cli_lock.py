"""`ringfence providers lock`, and what `providers` and `ask` make of a lock."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import registry

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run


@pytest.fixture(autouse=True)
def lock_file(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lock of this machine's user is."""
    monkeypatch.delenv("RINGFENCE_LOCK", raising=False)
    monkeypatch.setenv("RINGFENCE_CONFIG_DIR", str(machine.folder / "config"))
    return machine.folder / "config" / "plugins.lock.toml"


def _tiny(run: Run) -> dict[str, Any]:
    rows = json.loads(run("providers", "--json").stdout)["providers"]
    return next(row for row in rows if row["name"] == "tiny")


def _change(machine: Machine) -> None:
    source = machine.site / "ringfence_tiny" / "__init__.py"
    source.write_text(source.read_text() + "\n# another\n")


def test_the_lock_names_every_plugin_and_imports_none(run: Run, lock_file: Path) -> None:
    result = run("providers", "lock", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["file"], document["written"]) == (0, str(lock_file), True)
    rows = {row["distribution"]: row for row in document["plugins"]}
    assert rows["ringfence-tiny"] == {
        "distribution": "ringfence-tiny",
        "version": "0.3",
        "change": "new",
        "detail": "it was not in the lock",
        "sha256": rows["ringfence-tiny"]["sha256"],
        "providers": {"tiny": "device"},
        "detectors": [],
    }
    assert set(rows["ringfence-detectors"]["detectors"]) >= {"email", "phone"}
    assert rows["ringfence-tiny"]["sha256"] in lock_file.read_text()
    assert "ringfence_tiny" not in sys.modules


def test_the_same_plugins_are_the_same_bytes(run: Run, lock_file: Path) -> None:
    run("providers", "lock")
    first = lock_file.read_bytes()
    run("providers", "lock")
    assert lock_file.read_bytes() == first


def test_people_are_told_what_a_lock_does_not_cover(run: Run, lock_file: Path) -> None:
    said = run("providers", "lock").stderr
    assert f"approved in {lock_file}" in said
    assert "not the packages that they depend on" in said


def test_an_approved_plugin_answers(run: Run) -> None:
    run("providers", "lock")
    assert run("ask", "hello").stdout == "you said: hello\n"


def test_a_plugin_that_changed_is_asked_nothing(run: Run, machine: Machine) -> None:
    run("providers", "lock")
    _change(machine)
    result = run("ask", "--to", "echo", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: provider 'tiny' changed since it was locked: its files differ\ntry: look")
    assert machine.notes() == []
    assert "ringfence_tiny" not in sys.modules


def test_providers_tells_the_state_of_each_in_the_lock(run: Run, machine: Machine, lock_file: Path) -> None:
    assert (_tiny(run)["lock"], _tiny(run)["approved_ring"]) == ("no lock", None)
    run("providers", "lock")
    assert (_tiny(run)["lock"], _tiny(run)["approved_ring"], _tiny(run)["detail"]) == ("locked", "device", None)
    _change(machine)
    assert (_tiny(run)["lock"], _tiny(run)["state"]) == ("changed", "installed")
    assert "ringfence providers lock" in _tiny(run)["way_out"]
    lock_file.write_text("version = 1\n")
    assert _tiny(run)["lock"] == "not in the lock"
    shown = run("providers")
    assert "not in the lock" in shown.stdout
    assert "tiny: provider 'tiny' is not in the plugin lock" in shown.stderr


def test_a_policy_that_places_a_provider_too_far_inward_is_said(run: Run) -> None:
    run("providers", "lock", "--ring", "tiny=partner")
    assert _tiny(run)["lock"] == "wrong ring"
    assert "'tiny' is approved for ring 'partner'" in _tiny(run)["detail"]


def test_a_ring_that_was_approved_is_kept(run: Run) -> None:
    run("providers", "lock", "--ring", "tiny=house")
    run("providers", "lock")
    assert (_tiny(run)["lock"], _tiny(run)["approved_ring"]) == ("locked", "house")


def test_check_tells_every_difference_and_writes_nothing(run: Run, machine: Machine, lock_file: Path) -> None:
    run("providers", "lock")
    assert run("providers", "lock", "--check").exit_code == 0
    before = lock_file.read_bytes()
    _change(machine)
    result = run("providers", "lock", "--check", "--json")
    rows = {row["distribution"]: row for row in json.loads(result.stdout)["plugins"]}
    assert (result.exit_code, json.loads(result.stdout)["same"]) == (1, False)
    assert (rows["ringfence-tiny"]["change"], rows["ringfence-tiny"]["detail"]) == ("changed", "its files differ")
    assert rows["ringfence-detectors"]["change"] == "same"
    assert lock_file.read_bytes() == before


def test_check_finds_what_is_gone_and_what_is_new(run: Run, machine: Machine) -> None:
    run("providers", "lock")
    (machine.site / "ringfence_tiny-0.3.dist-info").rename(machine.site / "ringfence_huge-0.3.dist-info")
    metadata = machine.site / "ringfence_huge-0.3.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("ringfence-tiny", "ringfence-huge"))
    registry.refresh()
    result = run("providers", "lock", "--check")
    assert result.exit_code == 1
    assert "ringfence-tiny: it is in the lock and not installed" in result.stderr
    assert "ringfence-huge: it was not in the lock" in result.stderr


def test_checking_without_a_lock_fails(run: Run, lock_file: Path) -> None:
    result = run("providers", "lock", "--check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: there is no plugin lock '{lock_file}'\ntry: ringfence providers lock\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--ring", "tiny"), "error: --ring takes NAME=RING, not 'tiny'"),
        (("--ring", "tiny=moon"), "error: --ring takes NAME=RING, not 'tiny=moon'"),
        (("--ring", "no=house"), "error: no provider 'no' is installed"),
        (("--file", "/dev/null/x"), "error: '/dev/null/x' cannot be written"),
    ],
)
def test_wrong_usage_writes_no_lock(run: Run, lock_file: Path, args: tuple[str, ...], message: str) -> None:
    result = run("providers", "lock", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not lock_file.exists()


def test_a_lock_that_cannot_be_read_is_written_anew(run: Run, lock_file: Path) -> None:
    lock_file.parent.mkdir()
    lock_file.write_text("no toml")
    assert run("ask", "hello").exit_code == 1
    assert run("providers").exit_code == 1
    assert "no ring of it is kept" in run("providers", "lock").stderr
    assert run("ask", "hello").exit_code == 0


def test_doctor_tells_what_the_lock_keeps_out(run: Run, machine: Machine) -> None:
    run("providers", "lock")
    _change(machine)
    findings = {one["subject"]: one for one in json.loads(run("doctor", "--json").stdout)["findings"]}
    assert findings["provider tiny"]["level"] == "fault"
    assert "changed since it was locked" in findings["provider tiny"]["detail"]
    assert findings["provider mlx"]["level"] == "ok"


def test_a_recipient_that_the_lock_keeps_out_is_told_when_another_answers(
    run: Run, machine: Machine, lock_file: Path
) -> None:
    """The other recipient's plugin is the one that is approved."""
    run("providers", "lock")
    approved = lock_file.read_text().partition('[[plugin]]\ndistribution = "ringfence-mlx"')
    kept = approved[0] + approved[2].partition("[[plugin]]")[1] + approved[2].partition("[[plugin]]")[2]
    lock_file.write_text(kept)
    text = machine.policy.read_text().replace(
        "recipients:\n", "recipients:\n  first: {ring: house, provider: mlx, model: m}\n", 1
    )
    machine.policy.write_text(text.replace("prefer: [echo,", "prefer: [first, echo,", 1))
    result = run("ask", "hello")
    assert result.stdout == "you said: hello\n"
    assert result.stderr.startswith(
        "first was unavailable (provider 'mlx' is not in the plugin lock); answered by echo"
    )
