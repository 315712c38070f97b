"""`ringfence providers`, `models` and `doctor`: what is on this machine."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from ringfence import registry

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run


def _install(
    machine: Machine, name: str, source: str = "", manifest: str | None = None, folder: str | None = None
) -> None:
    """Another distribution beside the one the machine has."""
    package = machine.site / f"ringfence_{name}"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(source)
    if manifest is not None:
        (package / "ringfence-provider.toml").write_text(manifest)
    info = machine.site / f"{folder or f'ringfence_{name}'}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {(folder or name).replace('_', '-')}\nVersion: 0.1\n")
    target = f"ringfence_{name}:{name.capitalize()}Provider"
    (info / "entry_points.txt").write_text(f"[ringfence.providers]\n{name} = {target}\n")
    registry.refresh()


def _manifest(name: str, interface: int = 1, **more: object) -> str:
    lines = [f'name = "{name}"', f"interface = {interface}", 'summary = "x"', 'capabilities = ["text"]']
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in more.items())])


def _providers(run: Run) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(run("providers", "--json").stdout)["providers"]}


def _findings(run: Run, *args: str) -> dict[str, Any]:
    result = run("doctor", "--json", *args)
    document = json.loads(result.stdout)
    assert result.exit_code == (0 if document["ok"] else 1)
    return {finding["subject"]: finding for finding in document["findings"]}


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


# ---------------------------------------------------------------- providers
def test_providers_says_what_is_installed_and_who_uses_it(run: Run) -> None:
    row = _providers(run)["tiny"]
    assert (row["state"], row["version"], row["summary"]) == ("installed", "0.3", "answers in a small way")
    assert row["recipients"]["echo"] == "house"
    shown = [line.split() for line in run("providers").stdout.splitlines()]
    assert ["provider", "tiny"] in shown
    assert ["version", "0.3"] in shown


def test_providers_imports_no_plugin(run: Run) -> None:
    run("providers")
    assert "ringfence_tiny" not in sys.modules


def test_installed_is_no_promise_that_a_plugin_loads(run: Run) -> None:
    assert "'ringfence doctor' loads each plugin" in run("providers").stderr


def test_a_broken_manifest_is_said(run: Run, machine: Machine) -> None:
    _install(machine, "odd", manifest="name = 7")
    row = _providers(run)["odd"]
    assert row["state"] == "broken"
    assert row["way_out"]
    assert "odd: " in run("providers").stderr


def test_another_interface_is_said(run: Run, machine: Machine) -> None:
    _install(machine, "late", manifest=_manifest("late", interface=2))
    assert _providers(run)["late"]["state"] == "other interface"


def test_two_distributions_of_one_name_are_said(run: Run, machine: Machine) -> None:
    _install(machine, "tiny", source="", folder="ringfence_other")
    assert _providers(run)["tiny"]["state"] == "duplicate"


def test_another_platform_is_said(run: Run, machine: Machine) -> None:
    _install(machine, "far", manifest=_manifest("far", platforms=["amiga"]))
    assert _providers(run)["far"]["state"] == "other platform"


def test_a_provider_that_the_policy_names_and_nobody_installed_is_said(run: Run, machine: Machine) -> None:
    machine.policy.write_text(
        machine.policy.read_text().replace("provider: tiny, model: echo", "provider: no, model: x")
    )
    assert _providers(run)["no"]["state"] == "not installed"


# ---------------------------------------------------------------- models
def test_models_lists_what_is_here_and_what_is_not(run: Run, machine: Machine) -> None:
    document = json.loads(run("models", "list", "--provider", "tiny", "--json").stdout)
    states = {model["name"]: model["availability"]["state"] for model in document["models"]}
    assert states == {"echo": "available", "absent": "downloadable"}
    assert document["folder"] == str(machine.cache / "tiny")
    shown = run("models", "list", "--provider", "tiny")
    assert "not here yet" in shown.stdout
    assert (
        shown.stderr
        == f"to bring absent: ringfence models pull --provider tiny absent\nkept in {machine.cache / 'tiny'}\n"
    )


def test_pull_brings_a_model_and_rm_deletes_it(run: Run, machine: Machine) -> None:
    pulled = run("models", "pull", "--provider", "tiny", "--json", "absent")
    path = machine.cache / "tiny" / "absent"
    assert json.loads(pulled.stdout) == {
        "provider": "tiny",
        "model": "absent",
        "downloaded": True,
        "path": str(path),
    }
    assert path.exists()
    removed = run("models", "rm", "--provider", "tiny", "--yes", "--json", "absent")
    assert json.loads(removed.stdout) == {"provider": "tiny", "model": "absent", "freed_bytes": 4_000_000}
    assert not path.exists()


def test_pull_without_a_name_takes_the_default_of_the_provider(run: Run) -> None:
    assert json.loads(run("models", "pull", "--provider", "tiny", "--json").stdout)["model"] == "absent"


def test_pull_of_what_is_here_does_nothing(run: Run) -> None:
    result = run("models", "pull", "--provider", "tiny", "echo")
    assert (result.exit_code, result.stderr) == (0, "model echo is on this machine already\n")


def test_pull_of_what_cannot_be_here_fails(run: Run) -> None:
    result = run("models", "pull", "--provider", "tiny", "homeless")
    assert (result.exit_code, result.stderr) == (1, "error: not enough memory\ntry: a smaller model\n")


def test_rm_deletes_nothing_unasked(run: Run, machine: Machine) -> None:
    run("models", "pull", "--provider", "tiny", "absent")
    result = run("models", "rm", "--provider", "tiny", "absent")
    assert result.exit_code == 2
    assert "try: ringfence models rm --yes --provider tiny absent\n" in result.stderr
    assert (machine.cache / "tiny" / "absent").exists()


@pytest.mark.parametrize("command", [("list",), ("pull", "x"), ("pull",), ("rm", "--yes", "x")])
def test_an_unknown_provider_is_wrong_usage_and_the_one_that_was_meant_is_named(
    run: Run, command: tuple[str, ...]
) -> None:
    result = run("models", *command, "--provider", "zzz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: provider 'zzz' is not installed\ntry: one that is installed: ")
    assert run("models", *command, "--provider", "tinny").stderr.endswith("try: --provider tiny\n")


def test_the_way_out_of_a_slip_in_a_models_name_is_the_command_to_type(run: Run, machine: Machine) -> None:
    path = machine.site / "ringfence_tiny" / "__init__.py"
    slip = 'NotAvailable(reason="no_model", detail="no such model", way_out="look")'
    path.write_text(
        path.read_text().replace(
            'if model == "homeless":',
            f'if model == "absnet":\n            return {slip}\n        if model == "homeless":',
        )
    )
    result = run("models", "pull", "--provider", "tiny", "absnet")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: no such model\ntry: ringfence models pull --provider tiny absent\n",
    )


@pytest.mark.parametrize("width", [40, 80, 200])
def test_models_are_listed_whole_in_any_window(run: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("ringfence.cli.terminal.is_terminal", bool)
    lines = run("models", "list", "--provider", "tiny").stdout.splitlines()
    assert max(map(len, lines)) <= width
    shown = "".join(" ".join(lines).split())
    assert [word for word in ("absent", "nothereyet", "4.0MB", "1,000", "file_input") if word not in shown] == []


FAR = """
from ringfence.provider import *
from ringfence.registry import load_manifest

class FarProvider(Provider):
    manifest = load_manifest("ringfence_far")
    async def open(self, context): ...
    async def close(self): ...
    async def models(self):
        return [await self.card(None, name) for name in ("big", "small")]
    async def card(self, recipient, name=None):
        return ModelCard(name=name or recipient.model, context_tokens=1000, capabilities=frozenset({"text"}))
    async def availability(self, recipient):
        assert recipient.ring == "partner"
        if recipient.credential(self.manifest.secret).present():
            return Available()
        return NotAvailable(reason="not_configured", detail="no key", way_out="export FAR_KEY=…")
    def plan(self, request, recipient, card): ...
    def run(self, plan, grant): ...
"""


@pytest.fixture
def far(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider whose models are at a vendor."""
    monkeypatch.delenv("FAR_KEY", raising=False)
    manifest = _manifest("far", hosts=["api.far.test"], secret="env:FAR_KEY")
    _install(machine, "far", source=FAR, manifest=manifest)


@pytest.mark.usefixtures("far")
def test_models_of_a_vendor_are_listed_with_what_is_missing_said_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run("models", "list", "--provider", "far")
    assert shown.exit_code == 0
    assert [line.split("  ")[0] for line in shown.stdout.splitlines()] == ["model", "big", "small"]
    assert shown.stdout.count("not configured") == 2
    said = "far: no key (try: export FAR_KEY=…)\nnot on this machine; a policy says what may go there\n"
    assert shown.stderr == said
    monkeypatch.setenv("FAR_KEY", "key")
    document = json.loads(run("models", "list", "--provider", "far", "--json").stdout)
    assert document["folder"] is None
    assert {model["availability"]["state"] for model in document["models"]} == {"available"}


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("command", [("pull",), ("pull", "big"), ("rm", "--yes", "big")])
def test_models_of_a_vendor_are_neither_brought_nor_deleted(run: Run, command: tuple[str, ...]) -> None:
    result = run("models", *command, "--provider", "far")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: provider 'far' keeps no models on this machine\ntry: ringfence models list --provider far\n"
    )


def test_ctrl_c_in_a_pull_stops_it(machine: Machine) -> None:
    process = machine.start("models", "pull", "--provider", "tiny", "stuck")
    assert _open(process.stderr).readline() == b"downloading 4.0 MB from example.test\n"
    assert _open(process.stderr).readline() == b"downloading 0 %\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert _open(process.stderr).read().decode().startswith("stopped; what came is kept")
    assert machine.notes() == ["closed"]


# ---------------------------------------------------------------- doctor
def test_doctor_finds_nothing_at_fault_on_a_sound_machine(run: Run, machine: Machine) -> None:
    findings = _findings(run)
    # Other plugins are installed beside the tests, and how they stand is not this machine's.
    own = ("ringfence", "python", "platform", "models", "state", "policy", "provider tiny", "audit log", "environment")
    assert {findings[subject]["level"] for subject in own} == {"ok"}
    assert findings["policy"]["detail"].startswith("small, named by RINGFENCE_POLICY; recipients echo (house)")
    assert findings["provider tiny"]["level"] == "ok"
    assert findings["tiny size"] == {
        "level": "warning",
        "subject": "tiny size",
        "detail": "it is tiny",
        "way_out": "grow",
    }
    assert findings["state"]["detail"] == str(machine.state)


def test_doctor_shows_people_a_sign_for_each(run: Run) -> None:
    result = run("doctor")
    signs = {line.split()[1]: line.split()[0] for line in result.stdout.splitlines() if line[:1].strip()}
    assert (signs["python"], signs["tiny"]) == ("✓", "!")
    assert result.stderr.rstrip().endswith(" at fault")


def test_a_plugin_that_raises_on_import_harms_only_its_own_line(run: Run, machine: Machine) -> None:
    _install(machine, "bad", source="raise RuntimeError('user content')", manifest=_manifest("bad"))
    findings = _findings(run)
    assert findings["provider bad"]["level"] == "fault"
    assert "RuntimeError" in findings["provider bad"]["detail"]
    assert "reinstall bad" in findings["provider bad"]["way_out"]
    assert findings["provider tiny"]["level"] == "ok"
    assert "user content" not in run("doctor").stdout


def test_a_plugin_that_raises_when_asked_harms_only_its_own_line(run: Run, machine: Machine) -> None:
    path = machine.site / "ringfence_tiny" / "__init__.py"
    path.write_text(path.read_text().replace("async def diagnose(self):", "async def diagnose(self):\n        1 / 0\n"))
    findings = _findings(run)
    assert findings["provider tiny"]["level"] == "fault"
    assert "ZeroDivisionError" in findings["provider tiny"]["detail"]


def test_a_plugin_that_never_answers_holds_up_nothing(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.cli.checks._PATIENCE_S", 0.1)
    path = machine.site / "ringfence_tiny" / "__init__.py"
    slow = "async def diagnose(self):\n        await asyncio.sleep(60)\n"
    path.write_text(path.read_text().replace("async def diagnose(self):", slow))
    assert "did not say how it stands" in _findings(run)["provider tiny"]["detail"]


def test_a_faulty_policy_is_a_fault_with_its_place(run: Run, machine: Machine) -> None:
    machine.policy.write_text("version: 1\nlables: {}\n")
    finding = _findings(run)["policy"]
    assert finding["level"] == "fault"
    assert f"{machine.policy}:2:1: " in finding["detail"]


def test_a_policy_file_that_is_missing_is_a_fault(run: Run) -> None:
    assert _findings(run, "--policy", "nowhere.yaml")["policy"]["detail"].startswith("--policy: policy file 'nowhere")


def test_a_detector_that_the_policy_wants_and_nobody_installed_is_a_fault(run: Run, machine: Machine) -> None:
    machine.policy.write_text(machine.policy.read_text().replace("work: {declare: true}", "work: {detect: [nothing]}"))
    assert _findings(run)["detector nothing"]["level"] == "fault"


def test_a_tampered_record_is_a_fault(run: Run, machine: Machine) -> None:
    run("ask", "one")
    run("ask", "two")
    assert "2 records" in _findings(run)["audit log"]["detail"]
    records = next(path for path in (machine.state / "audit").iterdir() if path.suffix == ".jsonl")
    records.write_text(records.read_text().replace("open_question", "email_reply", 1))
    assert _findings(run)["audit log"]["level"] == "fault"


def test_a_folder_that_cannot_be_written_is_a_fault(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.folder / "file").write_text("")
    monkeypatch.setenv("RINGFENCE_CACHE_DIR", str(machine.folder / "file" / "cache"))
    finding = _findings(run)["models"]
    assert finding["level"] == "fault"
    assert finding["way_out"] == "name another folder in RINGFENCE_CACHE_DIR"


def test_what_the_environment_says_is_named_as_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.test")
    detail = _findings(run)["environment"]["detail"]
    assert "HTTPS_PROXY" in detail
    assert "secret" not in detail


def test_doctor_makes_nothing(run: Run, machine: Machine) -> None:
    run("doctor")
    assert not (machine.state / "audit").exists()
    assert not Path(machine.cache).exists()
