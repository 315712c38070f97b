"""Where pip would look: its configuration files and variables, as pip itself merges them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.errors import DownloadFailed
from ringfence_mlx.models.pip_settings import default_index_url, read_pip_settings


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """A home of its own, and no system-wide configuration folder."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), **more}


def test_variables_go_before_files_and_install_before_global(tmp_path: Path) -> None:
    chosen = write(
        tmp_path / "pip.conf",
        "[global]\nindex-url = http://a/\nproxy = http://p/\ntimeout = 3\n[install]\nindex_url = http://b/\n",
    )
    from_file = read_pip_settings(environment(tmp_path, PIP_CONFIG_FILE=str(chosen)))
    assert (from_file.index_url, from_file.proxy, from_file.timeout_s) == ("http://b/", "http://p/", 3)
    from_variable = read_pip_settings(
        environment(tmp_path, PIP_CONFIG_FILE=str(chosen), PIP_INDEX_URL="http://c/", PIP_EXTRA_INDEX_URL="http://d/ e")
    )
    assert from_variable.index_url == "http://c/"
    assert from_variable.extra_index_urls == ("http://d/", "e")


@pytest.mark.skipif(sys.platform == "darwin", reason="the place of the user's file differs")
def test_the_users_own_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / ".config/pip/pip.conf", "[global]\nfind-links = /some/folder\n  http://x/\nno-index = true\n")
    settings = read_pip_settings(environment(tmp_path))
    assert settings.find_links == ("/some/folder", "http://x/")
    assert settings.no_index


def test_all_files_can_be_turned_off(tmp_path: Path) -> None:
    write(tmp_path / ".config/pip/pip.conf", "[global]\nno-index = true\n")
    assert not read_pip_settings(environment(tmp_path, PIP_CONFIG_FILE=os.devnull)).no_index


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = write(tmp_path / "pip.conf", "not a section\n")
    with pytest.raises(DownloadFailed, match=re.escape(f"the configuration of pip in {broken} cannot be read")):
        read_pip_settings(environment(tmp_path, PIP_CONFIG_FILE=str(broken)))


def test_a_timeout_that_is_no_number_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="is not a number"):
        read_pip_settings(environment(tmp_path, PIP_TIMEOUT="soon", PIP_CONFIG_FILE=os.devnull))


@pytest.mark.parametrize("key", ["index-url", "extra-index-url", "find-links", "cert", "proxy"])
def test_what_is_read_is_what_pip_reads(key: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip("there is no pip in this environment")
    found_lines: list[tuple[str, str]] = re.findall(
        rf"^(:env:|global|install)\.{key}='(.*)'$", answer.stdout, re.MULTILINE
    )
    said = dict(found_lines)
    wanted = said.get(":env:", said.get("install", said.get("global", "")))
    settings = read_pip_settings()
    found: dict[str, str] = {
        "index-url": settings.index_url or "",
        "extra-index-url": " ".join(settings.extra_index_urls),
        "find-links": " ".join(settings.find_links),
        "cert": str(settings.certificates or ""),
        "proxy": settings.proxy or "",
    }
    assert found[key] == " ".join(wanted.replace("\\n", " ").split())


def test_the_default_index_is_asked_for() -> None:
    assert default_index_url().startswith("https://")
