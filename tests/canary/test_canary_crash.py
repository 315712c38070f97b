"""A process that dies in the middle of a send: what it tells and leaves, and what nobody but the app can prevent."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.canary.support import SHUT, canaries, canary, found_in, policy

ALL = canaries()
MAIL = canary("email", "user")
NUMBER = canary("credit_card", "system")

_APP = """\
import asyncio, faulthandler, os, signal, sys
from ringfence import AsyncAssistant
from ringfence.policy import read_policy
from ringfence.testing import ScriptedProvider

faulthandler.enable()
POLICY = '''
version: 1
name: crash
recipients: {{out: {{ring: partner, provider: scripted, model: m}}}}
labels: {{public: {{}}, contact: {{detect: [email]}}, financial: {{detect: [credit_card]}}, unclassified: {{}}}}
unknown: unclassified
clean: public
flow:
  - {{id: some, allow: {{labels: [public], to: [partner]}}, consent: ask}}
  - {{id: redacted, allow: {{labels: [contact, financial], to: [partner]}}, redact: pseudonym, consent: ask}}
consent: {{partner: {{lasts: 30d}}}}
budgets:
  - {{id: few, of: out, limit: "9 requests", per: total}}
route:
  - {{id: only, prefer: [out]}}
'''

class Dies(ScriptedProvider):
    async def run(self, plan, grant):
        async for event in super().run(plan, grant):
            yield event
            {death}

async def main():
    text = sys.stdin.read()
    providers = {{"scripted": Dies("An answer.")}}
    async with AsyncAssistant(read_policy(POLICY), providers=providers, consent=lambda _: True) as it:
        await it.respond(text, instructions=text)

asyncio.run(main())
"""

_DEATHS = {
    signal.SIGABRT: "os.abort()",
    signal.SIGSEGV: "faulthandler._sigsegv()",
    signal.SIGKILL: "os.kill(os.getpid(), signal.SIGKILL)",
}


def _crashed(folder: Path, death: str, core_bytes: int) -> subprocess.CompletedProcess[bytes]:
    for name in ("state", "cache", "tmp", "home"):
        (folder / name).mkdir(mode=0o700)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RINGFENCE_")},
        "RINGFENCE_STATE_DIR": str(folder / "state"),
        "RINGFENCE_CACHE_DIR": str(folder / "cache"),
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", _APP.format(death=death)],
        input=f"Write to {MAIL} about {NUMBER}.".encode(),
        capture_output=True,
        env=environment,
        cwd=folder,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (core_bytes, core_bytes)),
    )


def _left(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("death", _DEATHS, ids=lambda death: death.name)
def test_a_process_that_dies_leaves_no_content(death: signal.Signals, tmp_path: Path) -> None:
    """What is in its memory goes with it: nothing was on the disk before it had ended, and none of its last words."""
    done = _crashed(tmp_path, _DEATHS[death], 0)
    assert done.returncode == -death, done.stderr.decode()
    assert (b"Current thread" in done.stderr) == (death != signal.SIGKILL)
    assert found_in(done.stdout + done.stderr, ALL) == set()
    left = _left(tmp_path)
    # It had written what it needs to before it died.
    assert {"consent.db", "budget.db"} <= left.keys()
    assert {name for name, data in left.items() if found_in(data + os.fsencode(name), ALL)} == set()


def _writes_cores_into_the_working_directory() -> bool:
    try:
        pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    except OSError:
        return False
    unlimited = resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY
    return unlimited and bool(pattern) and not pattern.startswith(("|", "/"))


cores = pytest.mark.skipif(
    not _writes_cores_into_the_working_directory(),
    reason="this system writes no core file into the working directory, or its limit forbids one",
)


@cores
def test_a_core_file_of_an_app_that_asked_for_one_is_its_memory(tmp_path: Path) -> None:
    """The limit of what can be promised, as the README says it: whoever lets a process dump its core gets all of it."""
    done = _crashed(tmp_path, _DEATHS[signal.SIGABRT], resource.RLIM_INFINITY)
    files = {name: data for name, data in _left(tmp_path).items() if name.startswith("core")}
    if done.returncode == -signal.SIGABRT and not files:
        pytest.skip("the system wrote no core file here")
    assert MAIL.encode() in b"".join(files.values())


def _allow_cores() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


_WORKER = """\
import os, sys
from ringfence_mlx.sandbox import confine
confine(sandboxed=False)
held = sys.stdin.read()
os.abort()
"""


@cores
def test_a_worker_that_dies_writes_no_core_file_even_where_that_is_allowed(tmp_path: Path) -> None:
    results: dict[str, bool] = {}
    for name, program in (("worker", _WORKER), ("control", _WORKER.replace("confine(sandboxed=False)", ""))):
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=MAIL.encode(),
            cwd=folder,
            check=False,
            preexec_fn=_allow_cores,
        )
        assert done.returncode == -signal.SIGABRT
        results[name] = any(path.name.startswith("core") for path in folder.iterdir())
    if not results["control"]:
        pytest.skip("the system wrote no core file here")
    assert not results["worker"]


@cores
def test_the_command_line_that_dies_writes_no_core_file_even_where_that_is_allowed(tmp_path: Path) -> None:
    rules = tmp_path / "policy.yaml"
    rules.write_text(policy(SHUT, "http://127.0.0.1:9/v1"))
    folder = tmp_path / "here"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", "from ringfence.cli import main; main()", "chat", "--no-audit"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "RINGFENCE_POLICY": str(rules), "RINGFENCE_STATE_DIR": str(tmp_path / "state")},
        cwd=folder,
        preexec_fn=_allow_cores,  # noqa: PLW1509  (it calls the system only)
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with process.stdin, process.stderr:
        process.stdin.write(f"Write to {MAIL}.\n".encode())
        process.stdin.flush()
        assert b"allows" in process.stderr.readline()
        process.send_signal(signal.SIGABRT)
        assert process.wait(timeout=30) == -signal.SIGABRT
    assert not any(path.name.startswith("core") for path in folder.iterdir())
