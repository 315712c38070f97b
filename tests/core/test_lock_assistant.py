"""One assistant's plugin lock: what it keeps out is unavailable, or unknown where a detector should have looked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.core.support import NO_WAIT, policy, policy_text

from ringfence import Assistant, AsyncAssistant
from ringfence.errors import PluginLocked, Unavailable
from ringfence.lock import NO_LOCK
from ringfence.lock.approval import approve
from ringfence.lock.document import write_lock
from ringfence.lock.plugins import installed_plugins
from ringfence.policy import read_policy
from ringfence.recipient import Ring
from ringfence.registry import refresh
from ringfence.testing import ScriptedProvider

PACKAGE = "fake_kept"
CODE = """
import pathlib
pathlib.Path(__file__).with_name("imported").touch()
from ringfence.testing import ScriptedProvider
class P(ScriptedProvider):
    pass
class D:
    def detect(self, text):
        return ()
DETECTOR = D()
"""


class Site:
    """A distribution with the provider and the detector `kept`."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "site" / PACKAGE
        self.lock = folder / "my.lock.toml"
        self.package.mkdir(parents=True)
        (self.package / "__init__.py").write_text(CODE)
        (self.package / "ringfence-provider.toml").write_text(
            'name = "kept"\ninterface = 1\nsummary = "s"\ncapabilities = ["text"]\n'
        )
        info = folder / "site" / "kept-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kept\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[ringfence.providers]\nkept = {PACKAGE}:P\n[ringfence.detectors]\nkept = {PACKAGE}:DETECTOR\n"
        )

    def approve(self, ring: Ring = "device") -> None:
        (plugin,) = [plugin for plugin in installed_plugins() if plugin.name == "kept"]
        write_lock(self.lock, [approve(plugin, hosts_of=lambda _: (), rings={"kept": ring})])

    @property
    def was_imported(self) -> bool:
        return (self.package / "imported").exists()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(tmp_path)
    monkeypatch.syspath_prepend(str(found.package.parent))  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.delenv("RINGFENCE_LOCK", raising=False)
    monkeypatch.setenv("RINGFENCE_CONFIG_DIR", str(tmp_path / "config"))
    refresh()
    yield found
    refresh()
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


async def test_an_approved_plugin_answers(site: Site) -> None:
    site.approve()
    async with AsyncAssistant(policy("kept"), audit=False, lock=site.lock) as it:
        assert (await it.respond("x")).text == "scripted"


async def test_a_plugin_that_changed_is_passed_over_and_not_imported(site: Site) -> None:
    site.approve()
    (site.package / "extra.py").write_text("")
    providers = {"second": ScriptedProvider("2")}
    async with AsyncAssistant(
        policy("kept", "second"), providers=providers, audit=False, retry=NO_WAIT, lock=site.lock
    ) as it:
        assert (await it.respond("x")).text == "2"
        with pytest.raises(Unavailable, match="changed since it was locked") as caught:
            await it.respond("x", to="kept")
    assert caught.value.reason == "plugin_broken"
    assert "ringfence providers lock" in (caught.value.way_out or "")
    assert not site.was_imported


@pytest.mark.parametrize(("ring", "answers"), [("device", True), ("house", True), ("partner", False)])
async def test_a_recipient_further_inward_than_was_approved_is_refused(site: Site, ring: Ring, answers: bool) -> None:
    site.approve(ring)
    async with AsyncAssistant(policy("kept", rings={"kept": "house"}), audit=False, lock=site.lock) as it:
        if answers:
            assert (await it.respond("x")).text == "scripted"
        else:
            with pytest.raises(Unavailable, match="approved for ring 'partner'"):
                await it.respond("x")
    assert site.was_imported is answers


async def test_a_provider_object_of_the_app_is_no_plugin(site: Site) -> None:
    site.approve("partner")
    async with AsyncAssistant(
        policy("kept"), providers={"kept": ScriptedProvider("mine")}, audit=False, lock=site.lock
    ) as it:
        assert (await it.respond("x")).text == "mine"


async def test_two_assistants_have_locks_of_their_own(site: Site, tmp_path: Path) -> None:
    site.approve()
    write_lock(tmp_path / "config" / "plugins.lock.toml", [])
    for lock, answers in ((None, False), (site.lock, True), (NO_LOCK, True)):
        async with AsyncAssistant(policy("kept"), audit=False, lock=lock) as it:
            if answers:
                assert (await it.respond("x")).text == "scripted"
            else:
                with pytest.raises(Unavailable, match="not in the plugin lock"):
                    await it.respond("x")


@pytest.mark.parametrize("make", [AsyncAssistant, Assistant])
def test_a_named_lock_that_cannot_be_used_makes_no_assistant(
    site: Site, monkeypatch: pytest.MonkeyPatch, make: type[AsyncAssistant | Assistant]
) -> None:
    with pytest.raises(PluginLocked):
        make(policy("kept"), audit=False, lock=site.lock)
    monkeypatch.setenv("RINGFENCE_LOCK", str(site.lock))
    with pytest.raises(PluginLocked):
        make(policy("kept"), audit=False)


async def test_a_detector_that_the_lock_keeps_out_leaves_the_text_unknown(site: Site) -> None:
    text = policy_text(("one",)).replace("  public: {}\n", "  public: {}\n  found: {detect: [kept]}\n", 1)
    text = text.replace("unknown: unclassified", "unknown: unclassified\nclean: public")
    write_lock(site.lock, [])
    for lock, labels in ((site.lock, ("unclassified",)), (NO_LOCK, ("public",))):
        async with AsyncAssistant(read_policy(text), audit=False, lock=lock) as it:
            assert tuple(it.explain("x").labels) == labels
        assert site.was_imported is (lock is NO_LOCK)
