"""Commands that plugins bring: found by entry point, imported when they are invoked, and only if the lock approves."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click
import pytest

from ringfence import registry
from ringfence.cli import plugged
from ringfence.errors import PluginBroken, PluginLocked
from ringfence.lock import Lock

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """What plugins bring, for a test to say."""
    found: dict[str, EntryPoint] = {}
    monkeypatch.setattr(plugged, "plugged", lambda: found)
    return found


def _entry(name: str, value: str, distribution: str | None = None) -> EntryPoint:
    """An entry point as an installed distribution declares it; as that of the provider itself if none is named."""
    entry = EntryPoint(name=name, value=value, group=plugged.GROUP)
    owners = [one.distribution for one in registry.installed() if one.name == name]
    owner = distribution or next(iter(owners), "nobody")
    vars(entry)["dist"] = SimpleNamespace(name=owner)
    return entry


def test_the_house_brings_its_operators_commands(run: Run) -> None:
    assert "\n  house " in run("--help").stdout
    result = run("house", "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ringfence house")


def test_a_misspelt_command_of_a_plugin_is_known(run: Run) -> None:
    result = run("hous")
    assert result.exit_code == 2
    assert "house" in result.stderr


def test_no_plugin_takes_the_place_of_a_command_of_ours(run: Run, brought: dict[str, EntryPoint]) -> None:
    brought["ask"] = _entry("ask", "nowhere:ask")
    assert run("ask", "--help").stdout.startswith("Usage: ringfence ask")


def test_a_command_without_a_provider_of_its_name_is_not_imported(run: Run, brought: dict[str, EntryPoint]) -> None:
    brought["strange"] = _entry("strange", "antigravity:fly")
    result = run("strange")
    assert result.exit_code == 1
    assert "provider 'strange' is not installed" in result.stderr
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("value", "said"),
    [("ringfence_tiny:nothing", "raised AttributeError"), ("ringfence_tiny:__name__", "no click command")],
)
def test_a_command_that_is_broken_harms_only_itself(
    run: Run, brought: dict[str, EntryPoint], value: str, said: str
) -> None:
    brought["tiny"] = _entry("tiny", value)
    result = run("tiny")
    assert result.exit_code == 1
    assert said in result.stderr


def test_nothing_is_imported_that_the_lock_does_not_approve(
    brought: dict[str, EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Lock, entry: EntryPoint) -> None:
        del self, entry
        raise PluginLocked("locked")

    brought["house"] = _entry("house", "antigravity:fly")
    monkeypatch.setattr(Lock, "check", refuse)
    with pytest.raises(PluginLocked):
        plugged.load("house")
    assert "antigravity" not in sys.modules


def test_a_command_in_the_name_of_another_distributions_provider_is_not_imported(
    brought: dict[str, EntryPoint],
) -> None:
    brought["mlx"] = _entry("mlx", "antigravity:fly", "evil-command")
    with pytest.raises(PluginBroken, match="another distribution"):
        plugged.load("mlx")
    assert "antigravity" not in sys.modules


def test_the_lock_is_asked_about_the_distribution_that_brings_the_command(
    brought: dict[str, EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    def approve_ours(self: Lock, entry: EntryPoint) -> None:
        del self
        if entry.dist is None or entry.dist.name != "ringfence-mlx":
            raise PluginLocked("locked")

    brought["mlx"] = _entry("mlx", "antigravity:fly", "evil-command")
    monkeypatch.setattr(Lock, "check", approve_ours)
    with pytest.raises(PluginLocked):
        plugged.load("mlx")


def test_a_command_of_a_plugin_is_a_click_command() -> None:
    assert isinstance(plugged.load("house"), click.Command)
    assert plugged.load("nothing-brings-this") is None
