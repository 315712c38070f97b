"""Plugins are found without being imported, and a broken one harms only itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.core.support import assistant, policy

from ringfence import registry
from ringfence.errors import Denied, InterfaceMismatch, PluginBroken, PluginNotInstalled, Unavailable
from ringfence.testing import ScriptedProvider

MANIFEST = 'name = "{name}"\ninterface = 1\nsummary = "for a test"\ncapabilities = ["text"]\n'
GOOD = """
from ringfence.testing import ScriptedProvider
class P(ScriptedProvider):
    pass
"""


class Site:
    """A folder on the import path with distributions made by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        name: str,
        code: str = GOOD,
        *,
        manifest: str | None = MANIFEST,
        target: str | None = None,
        distribution: str | None = None,
    ) -> str:
        """Installs a provider `name`; returns its package, which notes on import that it was imported."""
        package = f"fake_{name}_{len(list(self.folder.iterdir()))}"
        home = self.folder / package
        home.mkdir()
        trace = f"import pathlib\npathlib.Path({str(self.folder / (package + '.imported'))!r}).touch()\n"
        (home / "__init__.py").write_text(trace + code)
        if manifest is not None:
            (home / "ringfence-provider.toml").write_text(manifest.replace("{name}", name))
        owner = distribution or f"ringfence-{name}"
        info = self.folder / f"{owner.replace('-', '_')}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.2.3\n")
        (info / "entry_points.txt").write_text(f"[ringfence.providers]\n{name} = {target or package + ':P'}\n")
        registry.refresh()
        return package

    def was_imported(self, package: str) -> bool:
        return (self.folder / f"{package}.imported").exists()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]
    yield Site(tmp_path)
    registry.refresh()
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


def test_a_manifest_is_read_without_importing_the_plugin(site: Site) -> None:
    package = site.add("explosive", "raise RuntimeError('imported')")
    found = registry.manifest("explosive")
    assert (found.name, found.interface, found.capabilities) == ("explosive", 1, frozenset({"text"}))
    assert not site.was_imported(package)
    assert package not in sys.modules


def test_installed_lists_a_plugin_with_its_distribution_and_imports_nothing(site: Site) -> None:
    package = site.add("one")
    (found,) = [plugin for plugin in registry.installed() if plugin.name == "one"]
    assert (found.distribution, found.version, found.package) == ("ringfence-one", "1.2.3", package)
    assert not site.was_imported(package)


def test_a_good_plugin_is_loaded_when_asked_for(site: Site) -> None:
    package = site.add("good")
    assert issubclass(registry.load("good"), ScriptedProvider)
    assert site.was_imported(package)


def test_a_plugin_that_is_not_installed_says_how_to_install_it() -> None:
    for ask in (registry.manifest, registry.load):
        with pytest.raises(PluginNotInstalled) as caught:
            ask("missing")
        # Its package could be anybody's.
        assert caught.value.way_out is not None
        assert caught.value.way_out.startswith("check provider: in the policy; installed: ")
        assert "pip install" not in caught.value.way_out


def test_a_plugin_of_ours_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_entry_points", dict)
    with pytest.raises(PluginNotInstalled) as caught:
        registry.manifest("openai")
    assert caught.value.way_out == "pip install ringfence-openai"


@pytest.mark.parametrize(
    "code",
    [
        "raise RuntimeError('secret')",
        "raise SystemExit(3)",
        "import not_there_at_all",
        "this is no python",
        "class Q: pass",
        "class P: pass",
        "P = 5",
        "def P(): pass",
    ],
    ids=["raises", "exits", "import error", "syntax", "no such class", "not a provider", "a number", "a function"],
)
def test_a_plugin_that_cannot_be_loaded_harms_only_itself(site: Site, code: str) -> None:
    site.add("broken", code)
    site.add("good")
    with pytest.raises(PluginBroken) as caught:
        registry.load("broken")
    assert "broken" in caught.value.message
    assert "secret" not in str(caught.value)
    assert caught.value.way_out
    assert registry.load("good")
    assert registry.manifest("broken").name == "broken"
    assert {"broken", "good"} <= {plugin.name for plugin in registry.installed()}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "not toml =",
        'name = "bad"\ninterface = 1\nsummary = "s"\n',
        'name = "bad"\ninterface = 1\nsummary = "s"\ncapabilities = "text"\n',
        'name = "bad"\ninterface = 1\nsummary = 5\ncapabilities = []\n',
        'name = "bad"\ninterface = 1\nsummary = "s"\ncapabilities = [1]\n',
        'name = "bad"\ninterface = true\nsummary = "s"\ncapabilities = []\n',
        'name = "bad"\ninterface = "1"\nsummary = "s"\ncapabilities = []\n',
        'name = "bad"\ninterface = 1\nsummary = "s"\ncapabilities = []\nhost = ["a"]\n',
        'name = "bad"\ninterface = 1\nsummary = "s"\ncapabilities = []\nhosts = "a"\n',
        'name = "other"\ninterface = 1\nsummary = "s"\ncapabilities = []\n',
        'name = "bad"\ninterface = 1\nsummary = "s"\ncapabilities = ["teleport"]\n',
        'name = "bad"\ninterface = 1\nsummary = "s"\ncapabilities = []\nsecret = 5\n',
        'name = "bad"\ninterface = 1\nsummary = "s"\ncapabilities = []\nenvironment = [1]\n',
    ],
    ids=[
        *("none", "empty", "not toml", "key missing", "capabilities text", "summary number", "capability number"),
        *("interface bool", "interface text", "unknown key", "hosts text", "another name", "unknown capability"),
        *("secret number", "environment number"),
    ],
)
def test_a_manifest_with_a_fault_is_refused_and_nothing_is_imported(site: Site, text: str | None) -> None:
    package = site.add("bad", manifest=text)
    for ask in (registry.manifest, registry.load):
        with pytest.raises(PluginBroken):
            ask("bad")
    assert not site.was_imported(package)


_HEAD = 'name = "bad"\ninterface = 1\nsummary = "s"\n'


@pytest.mark.parametrize(
    "text",
    [
        _HEAD + "capabilities = 5\n",
        _HEAD + "capabilities = true\n",
        _HEAD + f"capabilities = [{'[' * 5_000}{']' * 5_000}]\n",
        _HEAD + "capabilities = [{a = 1}]\n",
        _HEAD + "capabilities = []\nhosts = 5\n",
        _HEAD + "capabilities = []\nhosts = [[1]]\n",
        _HEAD + "capabilities = []\nenvironment = 1.5\n",
        _HEAD + "capabilities = []\nsecret = []\n",
        _HEAD + f"capabilities = []\n{'a.' * 5_000}b = 1\n",
    ],
    ids=["number", "bool", "deep", "table", "hosts number", "hosts nested", "variables", "secret", "dotted"],
)
async def test_one_hostile_manifest_harms_no_other_plugin(site: Site, text: str) -> None:
    package = site.add("bad", manifest=text)
    site.add("good")
    for ask in (registry.manifest, registry.load):
        with pytest.raises(PluginBroken):
            ask("bad")
    assert registry.manifest("good").name == "good"
    assert {"bad", "good"} <= {plugin.name for plugin in registry.installed()}
    assert not site.was_imported(package)


def test_an_interface_number_of_any_size_is_told(site: Site) -> None:
    site.add("huge", manifest=MANIFEST.replace("interface = 1", f"interface = 0x{'f' * 9_000}"))
    with pytest.raises(InterfaceMismatch, match="of no known number"):
        registry.manifest("huge")


@pytest.mark.parametrize(
    "line",
    ['"\\u001b[2Jx" = 1', 'hosts = ["a\\nb"]', 'environment = ["A\\u001b]0;x"]', 'capabilities = ["\\u202e"]'],
)
def test_what_a_manifest_says_is_no_order_to_a_terminal(site: Site, line: str) -> None:
    head = _HEAD if line.startswith("capabilities") else _HEAD + "capabilities = []\n"
    site.add("bad", manifest=f"{head}{line}\n")
    with pytest.raises(PluginBroken) as caught:
        registry.manifest("bad")
    assert str(caught.value).isprintable()


def test_a_long_text_of_a_manifest_is_cut(site: Site) -> None:
    site.add("bad", manifest=f'{_HEAD}capabilities = ["{"x" * 10_000}"]\n')
    with pytest.raises(PluginBroken) as caught:
        registry.manifest("bad")
    assert len(str(caught.value)) < 300


def test_every_fault_of_a_manifest_is_named(site: Site) -> None:
    site.add("bad", manifest='name = 5\ninterface = 1\nhost = "x"\n')
    with pytest.raises(PluginBroken) as caught:
        registry.manifest("bad")
    for fault in (
        "'name' is not of type str",
        "unknown key 'host'",
        "'summary' is missing",
        "'capabilities' is missing",
    ):
        assert fault in caught.value.message


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        *((f'hosts = ["{host}"]', "'hosts' holds") for host in (
            *("https://api.example.com", "api.example.com:443", "api.example.com/v1", "API.example.com"),
            *("*.example.com", "", "example..com", "-a.example.com", "127.0.0.1", "user@example.com", "a b.com"),
        )),
        ('secret = "sk-live-4711"', "'secret' is not env:NAME"),
        ('secret = "file:/key"', "'secret' is not env:NAME"),
        ('secret = "env:"', "'secret' is not env:NAME"),
        ('secret = "env:A B"', "'secret' is not env:NAME"),
        ('environment = ["A=B"]', "'environment' holds"),
        ('environment = [""]', "'environment' holds"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_meant_is_a_fault(site: Site, line: str, fault: str) -> None:
    package = site.add("bad", manifest=f"{MANIFEST}{line}\n")
    with pytest.raises(PluginBroken) as caught:
        registry.manifest("bad")
    assert fault in caught.value.message
    assert "4711" not in str(caught.value)
    assert not site.was_imported(package)


def test_a_manifest_may_name_hosts_a_secret_and_variables(site: Site) -> None:
    more = 'hosts = ["api.example.com", "eu-1.api.example.com"]\nsecret = "env:EX_KEY"\nenvironment = ["EX_URL"]\n'
    site.add("vendor", manifest=MANIFEST + more)
    found = registry.manifest("vendor")
    assert found.hosts == ("api.example.com", "eu-1.api.example.com")
    assert (found.secret, found.environment) == ("env:EX_KEY", ("EX_URL",))


@pytest.mark.parametrize(("version", "upgrade"), [(0, "upgrade fake_"), (2, "upgrade ringfence")])
def test_another_interface_version_is_refused_and_says_what_to_upgrade(site: Site, version: int, upgrade: str) -> None:
    package = site.add("old", manifest=MANIFEST.replace("interface = 1", f"interface = {version}"))
    for ask in (registry.manifest, registry.load):
        with pytest.raises(InterfaceMismatch) as caught:
            ask("old")
        assert (caught.value.way_out or "").startswith(upgrade)
    assert not site.was_imported(package)


def test_a_name_that_two_distributions_declare_is_refused_whichever_came_first(site: Site) -> None:
    packages = [site.add("twin", distribution=f"maker-{maker}") for maker in ("a", "b")]
    with pytest.raises(PluginBroken, match="maker-a, maker-b"):
        registry.load("twin")
    assert registry.duplicates() == ("twin",)
    assert "twin" not in {plugin.name for plugin in registry.installed()}
    assert not any(map(site.was_imported, packages))


def test_a_package_that_is_gone_is_a_broken_plugin(site: Site) -> None:
    site.add("gone", target="no_such_package_here:P")
    for ask in (registry.manifest, registry.load):
        with pytest.raises(PluginBroken):
            ask("gone")


# ------------------------------------------------------------------ through the facade
async def test_denied_imports_no_plugin(site: Site) -> None:
    package = site.add("lazy")
    flow = "flow:\n  - id: public\n    allow: {labels: [public], to: [house]}\n"
    async with assistant(policy("lazy", flow=flow)) as it:
        assert it.explain("x").outcome == "deny"
        with pytest.raises(Denied):
            await it.respond("x")
    assert not site.was_imported(package)


async def test_a_plugin_is_imported_only_for_the_request_that_needs_it(site: Site) -> None:
    needed, spare = site.add("needed"), site.add("spare")
    async with assistant(policy("needed", "spare")) as it:
        assert not site.was_imported(needed)
        assert (await it.respond("x")).text == "scripted"
    assert site.was_imported(needed)
    assert not site.was_imported(spare)


async def test_a_broken_plugin_is_unavailable_and_the_next_recipient_answers(site: Site) -> None:
    site.add("broken", "raise RuntimeError('x')")
    async with assistant(policy("broken", "second"), second=ScriptedProvider("2")) as it:
        response = await it.respond("x")
        with pytest.raises(Unavailable) as caught:
            await it.respond("x", to="broken")
    assert response.text == "2"
    assert caught.value.reason == "plugin_broken"
    assert caught.value.way_out


async def test_a_plugin_that_is_missing_is_unavailable_with_the_way_to_install_it() -> None:
    async with assistant(policy("absent")) as it:
        with pytest.raises(Unavailable) as caught:
            await it.respond("x")
    assert caught.value.reason == "no_package"
    assert caught.value.way_out is not None
    assert caught.value.way_out.startswith("check provider: in the policy")


async def test_a_plugin_whose_class_cannot_be_made_is_passed_over(site: Site) -> None:
    site.add("abstract", "from ringfence.provider import Provider\nclass P(Provider):\n    pass\n")
    async with assistant(policy("abstract", "second"), second=ScriptedProvider("2")) as it:
        assert (await it.respond("x")).text == "2"
