"""What an enemy puts into a policy file so that it means another thing than it says."""

from __future__ import annotations

import pytest

from ringfence.errors import PolicyInvalid
from ringfence.policy import read_policy

_YAML = """\
version: 1
recipients:
  here: {ring: device, provider: mlx, model: m}
labels: {any: {}}
unknown: any
flow:
  - id: stay
    allow: {labels: "*", to: [device]}
route:
  - id: only
    prefer: [here]
"""

_HOSTILE = {
    "a ring twice in braces": _YAML.replace("{ring: device", "{ring: house, ring: device"),
    "a merge key": _YAML.replace("{ring: device", "{<<: {ring: house}, ring: device"),
    "a boolean of YAML 1.1": _YAML.replace("any: {}", "any: {declare: yes}"),
    "a boolean of YAML 1.1 that says so": "%YAML 1.1\n---\n" + _YAML.replace("any: {}", "any: {declare: on}"),
    "a second document": f"{_YAML}---\n{_YAML}",
    "a key after the end": f"{_YAML}...\nname: other\n",
    "a version of five thousand digits": _YAML.replace("version: 1", f"version: {'1' * 5_000}"),
    "a version with a fraction": _YAML.replace("version: 1", "version: 1.0"),
    "a key without a name": f"{_YAML}? \n: x\n",
    "a tab": _YAML.replace("  here:", "\there:"),
    "thousands of lists": f"version: 1\nlabels: {'[' * 5_000}{']' * 5_000}",
}


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_a_file_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        read_policy(text)


@pytest.mark.parametrize("text", ["\ufeff" + _YAML, _YAML.replace("\n", "\r\n"), _YAML.replace("\n", "\r")])
def test_the_layout_of_a_file_changes_nothing(text: str) -> None:
    assert read_policy(text).digest == read_policy(_YAML).digest
