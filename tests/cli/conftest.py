"""A small provider, installed as users install one, and ways to run the command line with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence import registry
from ringfence.cli.trial import SAMPLE
from ringfence.privacy.detection import DetectorSet, Failure

PLUGIN = '''
import asyncio
from ringfence.errors import DownloadFailed, RequestRejected, StreamBroken
from ringfence.provider import *
from ringfence.registry import load_manifest
from ringfence.request import FilePart, ImagePart, TextPart
from ringfence.response import *


class TinyProvider(Provider):
    """What it answers depends on the name of the model."""

    manifest = load_manifest("ringfence_tiny")

    async def open(self, context):
        self.cache, self.state = context.cache_dir, context.state_dir

    async def close(self):
        self.note("closed")

    def note(self, word):
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "notes").open("a") as notes:
            notes.write(word + "\\n")

    async def models(self):
        return [self.fact(name) for name in ("echo", "absent")]

    async def availability(self, recipient):
        model = recipient.model
        if model in ("absent", "stuck") and not (self.cache / model).exists():
            return Downloadable(size_bytes=4_000_000, source="example.test", way_out=f"ringfence models pull {model}")
        if model == "arriving" and not (self.cache / model).exists():
            return Downloading(done_bytes=1_000_000, total_bytes=4_000_000)
        if model == "homeless":
            return NotAvailable(reason="no_memory", detail="not enough memory", way_out="a smaller model")
        return Available()

    async def card(self, recipient):
        return self.fact(recipient.model)

    def fact(self, model):
        return ModelCard(name=model, context_tokens=1000, capabilities=self.manifest.capabilities, size_bytes=4_000_000)

    def plan(self, request, recipient, card):
        adjustments = ()
        if request.settings.seed is not None:
            adjustments = (Adjustment(setting="seed", action="ignored", detail="tiny has no dice"),)
        return Plan(request=request, card=card, native=None, adjustments=adjustments)

    async def run(self, plan, grant):
        grant.spend(plan.request)
        grant.connected = True
        if plan.card.name == "rejects":
            raise RequestRejected("tiny rejects this", way_out="another model")
        if plan.card.name in ("draws", "speaks"):
            for index in range(plan.request.settings.image_count or 1):
                if plan.card.name == "draws":
                    part = ImagePart(b"picture %d" % index, media_type="image/png")
                else:
                    part = FilePart(b"sound", media_type="audio/mpeg")
                yield Media(index, part)
            yield UsageReport(usage=Usage(input_tokens=5, output_tokens=2))
            yield Finish("stop", "stop")
            return
        yield TextStart(0)
        reason = "stop"
        match plan.card.name:
            case "slow":
                try:
                    number = 0
                    while True:
                        number += 1
                        yield TextDelta(0, f"{number}\\n")
                        await asyncio.sleep(0.02)
                except (GeneratorExit, asyncio.CancelledError):
                    self.note("cancelled")
                    raise
            case "breaks":
                yield TextDelta(0, "half an ans")
                raise StreamBroken("the line went dead")
            case "escapes":
                yield TextDelta(0, "\\x1b[31mred\\x07")
            case "json":
                yield TextDelta(0, '{"name":')
                yield TextDelta(0, ' "Ada"}')
            case "tells":
                parts = [p for m in plan.request.messages for p in m.parts if not isinstance(p, TextPart)]
                yield TextDelta(0, " ".join(f"{type(p).__name__} {p.media_type} {p.name}" for p in parts))
                settings = plan.request.settings
                yield TextDelta(0, f"\\n{settings.image_size} {settings.image_count} {settings.voice}")
                yield TextDelta(0, f" {settings.language} {settings.audio_format}")
            case "cut":
                yield TextDelta(0, "cut sho")
                reason = "length"
            case _:
                said = [m.text for m in plan.request.messages if m.role == "user"]
                files = sum(not isinstance(p, TextPart) for m in plan.request.messages for p in m.parts)
                yield TextDelta(0, "you said: ")
                yield TextDelta(0, " | ".join(said) + (f" and {files} attached" if files else ""))
        yield TextEnd(0)
        yield UsageReport(usage=Usage(input_tokens=5, output_tokens=2))
        yield Finish(reason, reason)

    async def download(self, model):
        self.cache.mkdir(parents=True, exist_ok=True)
        (self.cache / "some.part").write_text("kept")
        for done in (0, 1_000_000, 4_000_000):
            yield DownloadProgress(step="download", done_bytes=done, total_bytes=4_000_000, source="example.test")
            if model == "stuck":
                await asyncio.sleep(60)
        (self.cache / model).write_text("model")
        path = self.cache / model
        yield DownloadProgress(step="done", done_bytes=4_000_000, total_bytes=4_000_000, source="host", path=path)

    async def remove(self, model):
        (self.cache / model).unlink()
        return 4_000_000

    async def diagnose(self):
        return [Finding(level="warning", subject="size", detail="it is tiny", way_out="grow")]
'''

MANIFEST = """
name = "tiny"
interface = 1
summary = "answers in a small way"
capabilities = ["text", "output_schema", "download", "image_input", "file_input"]
default_model = "absent"
"""

MODELS = (
    *("echo", "slow", "breaks", "escapes", "json", "cut", "rejects", "absent", "stuck", "arriving", "homeless"),
    *("draws", "speaks", "tells"),
)

POLICY = f"""\
version: 1
name: small
recipients:
{"".join(f"  {model}: {{ring: house, provider: tiny, model: {model}}}" + chr(10) for model in MODELS)}
facts:
  user.age: {{type: int, min: 0}}
labels:
  work: {{declare: true}}
  health: {{declare: true}}
  unclassified: {{}}
unknown: unclassified
flow:
  - id: work-stays-in-house
    allow: {{labels: [work, unclassified], to: [house]}}
route:
  - id: first-to-last
    prefer: [{", ".join(MODELS)}]
"""


def install(folder: Path, name: str, *, source: str, manifest: str, version: str = "0.3") -> None:
    """A distribution `ringfence-NAME` as pip would leave it in `folder`."""
    package = folder / f"ringfence_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    (package / "ringfence-provider.toml").write_text(manifest)
    info = folder / f"ringfence_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ringfence-{name}\nVersion: {version}\n")
    target = f"ringfence_{name}:{name.capitalize()}Provider"
    (info / "entry_points.txt").write_text(f"[ringfence.providers]\n{name} = {target}\n")


# A shell that starts us in the background has SIGINT ignored, and it would stay so.
_MAIN = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ringfence.cli import main
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of its own: folders, an environment, and the provider `tiny`."""

    folder: Path
    site: Path
    policy: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list["subprocess.Popen[bytes]"])

    @property
    def state(self) -> Path:
        """`RINGFENCE_STATE_DIR`."""
        return self.folder / "state"

    @property
    def cache(self) -> Path:
        """`RINGFENCE_CACHE_DIR`."""
        return self.folder / "cache"

    def notes(self) -> list[str]:
        """What the provider noted of its life."""
        path = self.state / "tiny" / "notes"
        return path.read_text().split() if path.exists() else []

    def environment(self) -> dict[str, str]:
        """The environment of a process on this machine."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("RINGFENCE_")},
            "PYTHONPATH": str(self.site),
            "PYTHONWARNINGS": "error",
            "RINGFENCE_STATE_DIR": str(self.state),
            "RINGFENCE_CACHE_DIR": str(self.cache),
            "RINGFENCE_POLICY": str(self.policy),
        }

    def start(self, *args: str, **settings: Any) -> subprocess.Popen[bytes]:
        """`ringfence ARGS` as a process; signals work in it whatever this process ignores."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.environment(),
            **settings,
        }
        command = [sys.executable, "-c", _MAIN, *args]
        process = subprocess.Popen[bytes](command, cwd=self.folder, **pipes)
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Ends what still runs."""
        for process in self.processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """The machine, also for commands that run in this process."""
    site = tmp_path / "site"
    install(site, "tiny", source=PLUGIN, manifest=MANIFEST)
    policy = tmp_path / "small.yaml"
    policy.write_text(POLICY)
    found = Machine(folder=tmp_path, site=site, policy=policy)
    monkeypatch.syspath_prepend(site)  # pyright: ignore[reportUnknownMemberType]
    for name in ("RINGFENCE_STATE_DIR", "RINGFENCE_CACHE_DIR", "RINGFENCE_POLICY"):
        monkeypatch.setenv(name, found.environment()[name])
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    registry.refresh()
    yield found
    found.end()
    registry.refresh()
    for name in [name for name in sys.modules if name.startswith("ringfence_") and _inside(name, site)]:
        del sys.modules[name]


def _inside(name: str, site: Path) -> bool:
    return str(getattr(sys.modules[name], "__file__", "")).startswith(str(site))


async def _tried_here(kinds: Sequence[str]) -> dict[str, Failure]:
    detectors = DetectorSet()
    detectors.scan(kinds, SAMPLE)
    return dict(detectors.failures())


@pytest.fixture(autouse=True)
def tried_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` tries the detectors in this process, which has loaded them: a process each time would take seconds."""
    monkeypatch.setattr("ringfence.cli.checks_detectors.tried", _tried_here)


Run = Callable[..., Result]


@pytest.fixture
def run(machine: Machine) -> Run:
    """Runs `ringfence ARGS` in this process; what escapes as an exception fails the test."""

    def invoke(*args: str, stdin: str | bytes | None = None) -> Result:
        from ringfence.cli.root import root

        return CliRunner().invoke(root, list(args), input=stdin, catch_exceptions=False, prog_name="ringfence")

    return invoke
