"""Where pip would look for a file, and how it would get there: read from pip's own documented configuration.

Read are the configuration files in the places pip documents (https://pip.pypa.io/en/stable/topics/configuration/) and
the `PIP_*` environment variables, so that a machine set up for a mirror works without another setting, with or without
pip installed. Certificates are always checked: `trusted-host` is not honoured, nor are netrc files and keyrings.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence.errors import DownloadFailed

_SECTIONS = ("global", "install")  # in the order in which pip lets one override the other
_DEFAULT_TIMEOUT_S = 15.0  # pip's own
_DEFAULT_INDEX = re.compile(r"default:?\s+<?(https?://[^\s)>\]]+)")
_FALSE = frozenset({"", "0", "n", "no", "f", "false", "off"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PipSettings:
    """What pip is configured with. Not shown by `repr`: an index address may hold a credential."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    certificates: Path | None = None
    client_certificate: Path | None = None
    proxy: str | None = None
    timeout_s: float = _DEFAULT_TIMEOUT_S


def read_pip_settings(environment: Mapping[str, str] | None = None) -> PipSettings:
    """The settings that pip would use in this environment; blocking, some milliseconds.

    Raises:
        DownloadFailed: a configuration file of pip cannot be read.
    """
    values = _merged(os.environ if environment is None else environment)

    def path(key: str) -> Path | None:
        return Path(values[key]).expanduser() if values.get(key) else None

    try:
        timeout_s = float(values.get("timeout") or values.get("default-timeout") or _DEFAULT_TIMEOUT_S)
    except ValueError:
        raise DownloadFailed(
            "the timeout that pip is configured with is not a number", way_out="pip config list"
        ) from None
    return PipSettings(
        index_url=values.get("index-url") or None,
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        no_index=values.get("no-index", "").lower() not in _FALSE,
        certificates=path("cert"),
        client_certificate=path("client-cert"),
        proxy=values.get("proxy") or None,
        timeout_s=timeout_s,
    )


def _merged(environment: Mapping[str, str]) -> dict[str, str]:
    files: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for path in _configuration_files(environment):
        for section, values in _read(path).items():
            files[section].update(values)
    merged = {key: value for section in _SECTIONS for key, value in files[section].items()}
    for name, value in environment.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
            merged[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return merged


def _read(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        raise DownloadFailed(f"the configuration of pip in {path} cannot be read", way_out="pip config debug") from None
    return {
        section: {key.lower().replace("_", "-"): value for key, value in parser.items(section)}
        for section in _SECTIONS
        if parser.has_section(section)
    }


def _configuration_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """A later file overrides an earlier one. `PIP_CONFIG_FILE=/dev/null` turns all of them off."""
    chosen = environment.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "darwin":
        support = home / "Library/Application Support/pip"
        yield Path("/Library/Application Support/pip/pip.conf")
    else:
        support = home / ".config/pip"
        for folder in (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
            yield Path(folder) / "pip/pip.conf"
        yield Path("/etc/pip.conf")
    yield home / ".pip/pip.conf"
    configured = environment.get("XDG_CONFIG_HOME")
    user = Path(configured) / "pip" if configured else support
    yield (user if user.is_dir() else home / ".config/pip") / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if chosen:
        yield Path(chosen).expanduser()


def default_index_url() -> str:
    """The index that pip, or uv where there is no pip, uses when none is configured: read from its own help text.

    Blocking, under a second. The address is asked for, and not written here, so that the tool that this machine
    trusts for packages stays the one that decides.

    Raises:
        DownloadFailed: there is neither.
    """
    for command in _installers():
        try:
            answer = subprocess.run(  # noqa: S603 - a fixed command, found on this machine
                [*command, "install", "--help"],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
                # The folder the app happens to stand in is no place to import pip, or what pip imports, from.
                env=os.environ | {"COLUMNS": "500", "NO_COLOR": "1", "PYTHONSAFEPATH": "1"},
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        # The option's text may be wrapped; the first default address in it is that of --index-url.
        if answer.returncode == 0 and (found := _DEFAULT_INDEX.search(" ".join(answer.stdout.split()))):
            return found.group(1)
    raise DownloadFailed(
        "no package index is configured, and there is no pip here to ask for its own",
        way_out="set PIP_INDEX_URL to the address of your package index",
    )


def _installers() -> Iterator[list[str]]:
    yield [sys.executable, "-P", "-m", "pip"]
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if sys.base_prefix != sys.prefix and base.exists():
        yield [str(base), "-m", "pip"]
    for name in ("pip", "pip3"):
        if found := shutil.which(name):
            yield [found]
    if found := shutil.which("uv"):
        yield [found, "pip"]


__all__ = ["PipSettings", "default_index_url", "read_pip_settings"]
