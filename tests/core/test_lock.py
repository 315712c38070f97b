"""The plugin lock: what is not approved as it is now is not loaded, and nothing of it is imported to find that out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence import registry
from ringfence.errors import PluginLocked
from ringfence.lock import NO_LOCK, Lock, find_lock
from ringfence.lock.approval import approve
from ringfence.lock.document import Approved, lock_text, read_lock, write_lock
from ringfence.lock.fingerprint import fingerprint
from ringfence.lock.plugins import DETECTORS, PROVIDERS, installed_plugins
from ringfence.recipient import RINGS, Recipient, Ring

NAME = "padlocked"
PACKAGE = "fake_padlocked"
MANIFEST = f'name = "{NAME}"\ninterface = 1\nsummary = "s"\ncapabilities = ["text"]\n'
CODE = """
import pathlib
pathlib.Path(__file__).with_name("imported").touch()
from ringfence.testing import ScriptedProvider
class P(ScriptedProvider):
    pass
"""


class Site:
    """A folder on the import path with one distribution: a provider and a detector of the same name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "site" / PACKAGE
        self.info = folder / "site" / "ringfence_padlocked-1.0.dist-info"
        (self.package / "deeper").mkdir(parents=True)
        self.info.mkdir()
        (self.package / "__init__.py").write_text(CODE)
        (self.package / "deeper" / "data.bin").write_bytes(b"\0data")
        (self.package / "ringfence-provider.toml").write_text(MANIFEST)
        (self.info / "METADATA").write_text("Metadata-Version: 2.1\nName: Ringfence_Padlocked\nVersion: 1.0\n")
        (self.info / "entry_points.txt").write_text(
            f"[{PROVIDERS}]\n{NAME} = {PACKAGE}:P\n[{DETECTORS}]\n{NAME} = {PACKAGE}:D\n"
        )

    @property
    def was_imported(self) -> bool:
        return (self.package / "imported").exists()

    def entry(self, group: str = PROVIDERS) -> EntryPoint:
        (found,) = entry_points(group=group, name=NAME)
        return found

    def fingerprint(self) -> str:
        distribution = self.entry().dist
        assert distribution is not None
        return fingerprint(distribution)

    def lock(self, ring: Ring = "partner") -> Lock:
        """A lock of this one plugin, as `ringfence providers lock` would write it."""
        (plugin,) = [plugin for plugin in installed_plugins() if plugin.name == "ringfence-padlocked"]
        path = self.folder / "my.lock.toml"
        write_lock(path, [approve(plugin, hosts_of=lambda _: (), rings={NAME: ring})])
        return find_lock(path)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(tmp_path)
    monkeypatch.syspath_prepend(str(found.package.parent))  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.delenv("RINGFENCE_LOCK", raising=False)
    monkeypatch.setenv("RINGFENCE_CONFIG_DIR", str(tmp_path / "config"))
    registry.refresh()
    yield found
    registry.refresh()
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


# ------------------------------------------------------------------ what is loaded
def test_a_plugin_as_it_was_approved_is_loaded(site: Site) -> None:
    assert registry.load(NAME, lock=site.lock()).__name__ == "P"
    assert site.was_imported


def _change_version(site: Site) -> None:
    metadata = site.info / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 2.0"))


def _shadow(site: Site) -> None:
    package = site.folder / "earlier" / PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CODE)
    (package / "ringfence-provider.toml").write_text(MANIFEST)
    sys.path.insert(0, str(package.parent))


_CHANGES: list[tuple[Callable[[Site], object], str]] = [
    (lambda site: (site.package / "__init__.py").write_text(CODE + "# x"), "its files differ"),
    (lambda site: (site.package / "deeper" / "data.bin").write_bytes(b"\1data"), "its files differ"),
    (lambda site: (site.package / "deeper" / "data.bin").unlink(), "its files differ"),
    (lambda site: (site.package / "deeper" / "extra.so").write_bytes(b""), "its files differ"),
    (lambda site: (site.package / "sourceless.pyc").write_bytes(b""), "its files differ"),
    (lambda site: (site.package / "deeper").rename(site.package / "other"), "its files differ"),
    (lambda site: (site.package / "ringfence-provider.toml").write_text(MANIFEST + "#"), "its files differ"),
    (lambda site: (site.package / "linked").symlink_to(site.folder, target_is_directory=True), "its files differ"),
    (_change_version, "version 1.0 became 2.0"),
    (_shadow, "its files differ"),
]


@pytest.mark.parametrize(
    ("change", "said"),
    _CHANGES,
    ids=["code", "data", "gone", "added", "compiled", "renamed", "manifest", "link", "version", "shadowed"],
)
def test_a_plugin_that_changed_is_not_loaded_and_not_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch, change: Callable[[Site], object], said: str
) -> None:
    lock = site.lock()
    monkeypatch.setattr(sys, "path", list(sys.path))
    change(site)
    registry.refresh()
    with pytest.raises(PluginLocked) as caught:
        registry.load(NAME, lock=lock)
    assert f"provider '{NAME}' changed since it was locked" in caught.value.message
    assert said in caught.value.message
    assert (caught.value.way_out or "").startswith("look at the plugin, then: ringfence providers lock")
    assert not site.was_imported
    assert PACKAGE not in sys.modules


def test_the_caches_of_the_interpreter_change_nothing(site: Site) -> None:
    before = site.fingerprint()
    (site.package / "__pycache__").mkdir()
    (site.package / "__pycache__" / "x.pyc").write_bytes(b"x")
    (site.info / "RECORD").write_text(f"{PACKAGE}/__init__.py,,\nringfence_padlocked-1.0.dist-info/RECORD,,\n")
    (site.info / "INSTALLER").write_text("another\n")
    assert site.fingerprint() == before


_FORGED = """
import importlib.util, importlib._bootstrap_external as external, os, pathlib, sys
source = pathlib.Path(sys.argv[1])
cached = pathlib.Path(importlib.util.cache_from_source(str(source)))
cached.parent.mkdir(exist_ok=True)
code = compile("print('forged')\\n" + source.read_text(), str(source), "exec")
status = source.stat()
if sys.argv[2] == "unchecked":
    data = external._code_to_hash_pyc(code, b"x" * 8, False)
elif sys.argv[2] == "checked":
    data = external._code_to_hash_pyc(code, importlib.util.source_hash(source.read_bytes()), True)
else:
    data = external._code_to_timestamp_pyc(code, int(status.st_mtime), status.st_size)
cached.write_bytes(data)
"""
_LOAD = f"""
import sys
from ringfence import registry
from ringfence.lock import NO_LOCK, find_lock
registry.load("{NAME}", lock=NO_LOCK if sys.argv[1] == "none" else find_lock(sys.argv[1]))
import {PACKAGE}.later
"""


def _run(site: Site, code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site.package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("kind", ["unchecked", "checked", "timestamp"])
@pytest.mark.parametrize("module", ["__init__.py", "later.py"])
def test_bytecode_that_was_put_in_the_place_of_the_cached_one_does_not_run(site: Site, kind: str, module: str) -> None:
    (site.package / "later.py").write_text("LATER = 1\n")
    site.lock()
    _run(site, _FORGED, str(site.package / module), kind)
    assert "forged" not in _run(site, _LOAD, str(site.folder / "my.lock.toml"))
    assert site.was_imported
    # Without a lock it runs, so it was there to be run.
    assert "forged" in _run(site, _LOAD, "none")


def test_other_entry_points_are_another_fingerprint(site: Site) -> None:
    before = site.fingerprint()
    points = site.info / "entry_points.txt"
    points.write_text(points.read_text().replace(f"{PACKAGE}:P", f"{PACKAGE}.deeper:P"))
    assert site.fingerprint() != before


def test_a_recorded_file_beside_the_package_is_covered(site: Site) -> None:
    beside = site.package.parent / "fake_beside.pth"
    beside.write_text("import this")
    (site.info / "RECORD").write_text("fake_beside.pth,,\n../../bin/script,,\n")
    before = site.fingerprint()
    beside.write_text("import that")
    assert site.fingerprint() != before


def test_a_link_that_leads_back_ends(site: Site) -> None:
    (site.package / "deeper" / "again").symlink_to(site.package, target_is_directory=True)
    assert len(site.fingerprint()) == 64


@pytest.mark.parametrize("group", [PROVIDERS, DETECTORS])
def test_a_plugin_that_is_not_in_the_lock_is_refused(site: Site, group: str) -> None:
    with pytest.raises(PluginLocked, match=f"'{NAME}' is not in the plugin lock"):
        Lock(None, ()).check(site.entry(group))
    assert not site.was_imported


def test_a_detector_is_approved_by_its_own_name(site: Site) -> None:
    lock = site.lock()
    lock.check(site.entry(DETECTORS))
    assert lock.plugins
    approved = lock.plugins[0]
    without = Approved(distribution=approved.distribution, version="1.0", sha256=approved.sha256, providers={})
    for group in (PROVIDERS, DETECTORS):
        with pytest.raises(PluginLocked, match="not in the plugin lock"):
            Lock(None, (without,)).check(site.entry(group))


# ------------------------------------------------------------------ rings
@given(approved=st.sampled_from(RINGS), named=st.sampled_from(RINGS))
def test_invariant_a_provider_never_stands_further_inward_than_it_was_approved(approved: Ring, named: Ring) -> None:
    plugin = Approved(distribution="d", version="1", sha256="0" * 64, providers={NAME: approved})
    recipient = Recipient(name="there", ring=named, provider=NAME, model="m")
    lock = Lock(None, (plugin,))
    if RINGS.index(named) >= RINGS.index(approved):
        lock.check_ring(recipient)
        return
    with pytest.raises(PluginLocked) as caught:
        lock.check_ring(recipient)
    assert f"approved for ring '{approved}'" in caught.value.message
    assert f"'there' on ring '{named}'" in caught.value.message
    assert f"--ring {NAME}={named}" in (caught.value.way_out or "")


@pytest.mark.parametrize(
    ("hosts", "earlier", "asked", "ring"),
    [
        ((), None, None, "device"),
        (("api.example.com",), None, None, "partner"),
        (None, None, None, "partner"),
        (("api.example.com",), "house", None, "house"),
        ((), "device", "partner", "partner"),
    ],
)
def test_the_ring_of_a_provider_is_asked_for_kept_or_usual(
    site: Site, hosts: tuple[str, ...] | None, earlier: Ring | None, asked: Ring | None, ring: Ring
) -> None:
    (plugin,) = [plugin for plugin in installed_plugins() if plugin.name == "ringfence-padlocked"]
    before = Approved(distribution="d", version="1", sha256="0" * 64, providers={NAME: earlier}) if earlier else None
    rings: dict[str, Ring] = {NAME: asked} if asked else {}
    assert approve(plugin, hosts_of=lambda _: hosts, rings=rings, earlier=before).providers == {NAME: ring}


# ------------------------------------------------------------------ where the lock is
def test_without_a_lock_everything_may_be_loaded(site: Site) -> None:
    assert find_lock() is NO_LOCK
    assert registry.load(NAME).__name__ == "P"


def test_the_lock_of_the_user_is_in_force_unasked(site: Site) -> None:
    write_lock(site.folder / "config" / "plugins.lock.toml", [])
    with pytest.raises(PluginLocked):
        registry.load(NAME)
    assert not site.was_imported


def test_a_lock_that_is_named_comes_before_that_of_the_user(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = site.lock()
    write_lock(site.folder / "config" / "plugins.lock.toml", [])
    monkeypatch.setenv("RINGFENCE_LOCK", str(lock.path))
    assert registry.load(NAME).__name__ == "P"


def test_an_assistant_can_have_a_lock_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_LOCK", str(site.lock().path))
    with pytest.raises(PluginLocked):
        registry.load(NAME, lock=Lock(None, ()))


def test_a_lock_in_the_working_directory_is_not_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lock(site.folder / "plugins.lock.toml", [])
    monkeypatch.chdir(site.folder)
    assert find_lock() is NO_LOCK


@pytest.mark.parametrize("variable", ["RINGFENCE_LOCK", "RINGFENCE_CONFIG_DIR"])
@pytest.mark.parametrize("value", ["plugins.lock.toml", "", "."])
def test_the_environment_names_a_lock_absolutely_or_nothing_is_loaded(
    site: Site, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(PluginLocked, match="not an absolute path"):
        registry.load(NAME)
    assert not site.was_imported


ENTRY = '[[plugin]]\ndistribution = "d"\nversion = "1"\nsha256 = "' + "0" * 64 + '"\n'


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "version = 2\n",
        "version = 1\nunknown = 1\n",
        "version = 1\nplugin = 1\n",
        "version = 1\nplugin = [1]\n",
        "version 1",
        "version = 1\n" + ENTRY * 2,
        "version = 1\n" + ENTRY + "extra = 1\n",
        "version = 1\n" + ENTRY.replace("0" * 64, "0"),
        "version = 1\n" + ENTRY + 'providers = {p = "inner"}\n',
        "version = 1\n" + ENTRY + "detectors = [1]\n",
        "version = 1\n" + ENTRY + "detectors = 1\n",
        "version = 1\n#" + "x" * (1 << 20),
    ],
    ids=[
        *("missing", "empty", "other version", "unknown key", "number", "list of numbers", "no toml", "twice"),
        *("extra key", "short hash", "unknown ring", "detector number", "detectors number", "large"),
    ],
)
@pytest.mark.parametrize("how", ["environment", "argument"])
def test_a_named_lock_that_cannot_be_used_lets_nothing_through(
    site: Site, monkeypatch: pytest.MonkeyPatch, how: str, text: str | None
) -> None:
    path = site.folder / "named.toml"
    if text is not None:
        path.write_text(text)
    if how == "environment":
        monkeypatch.setenv("RINGFENCE_LOCK", str(path))
    with pytest.raises(PluginLocked, match="cannot be used, so no plugin is loaded"):
        registry.load(NAME, lock=find_lock(path if how == "argument" else None))
    assert not site.was_imported


def test_the_lock_of_the_user_that_cannot_be_read_lets_nothing_through(site: Site) -> None:
    (site.folder / "config").mkdir()
    (site.folder / "config" / "plugins.lock.toml").symlink_to("nowhere")
    with pytest.raises(PluginLocked):
        registry.load(NAME)


# ------------------------------------------------------------------ the file
_words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_approved = st.builds(
    Approved,
    distribution=st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
    version=_words,
    sha256=st.just("ab" * 32),
    providers=st.dictionaries(_words, st.sampled_from(RINGS), max_size=3),
    detectors=st.lists(_words, max_size=3, unique=True).map(lambda names: tuple(sorted(names))),
)
_plugins = st.lists(_approved, max_size=4, unique_by=lambda one: one.distribution)


@given(plugins=_plugins)
def test_what_is_written_is_read_again_and_the_order_never_matters(
    tmp_path_factory: pytest.TempPathFactory, plugins: list[Approved]
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.lock.toml"
    write_lock(path, plugins)
    assert sorted(read_lock(path), key=lambda one: one.distribution) == sorted(
        plugins, key=lambda one: one.distribution
    )
    assert path.read_bytes().decode() == lock_text(reversed(plugins))


def test_a_lock_that_cannot_be_written_leaves_what_was_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.folder / "kept" / "my.lock.toml"
    write_lock(path, [])
    before = path.read_text()

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):  # noqa: PT011  (any)
        write_lock(path, [Approved(distribution="d", version="1", sha256="0" * 64)])
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]
