"""What a policy says of a recipient beyond its ring: where it is, where its key is, and what it is vouched for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy import Facts, Policy, check_file, load_policy, read_policy
from ringfence.policy.addresses import NotAnAddress, address, is_open
from ringfence.policy.warnings import find_warnings
from ringfence.recipient import Recipient, Secret


def text(keys: str = "", ring: str = "house", rule: str = "", require: str = "") -> str:
    return f"""version: 1
recipients:
  mlx: {{ring: device, provider: mlx, model: m}}
  x: {{ring: {ring}, provider: openai, model: m{", " if keys else ""}{keys}}}
labels: {{work: {{}}, unclassified: {{}}}}
unknown: unclassified
flow:
  - {{id: any, allow: {{labels: "*", to: [device, x]}}, consent: ask{", " if require else ""}{require}}}
{rule}
route: [{{id: all, prefer: [mlx, x]}}]
"""


def recipient(keys: str, ring: str = "house") -> Recipient:
    return read_policy(text(keys, ring)).recipients["x"]


def warnings_of(policy: Policy) -> list[str]:
    return [warning.message for warning in find_warnings(policy.document)]


# ---------------------------------------------------------------- url

ADDRESSES = {
    "as it is": ("https://models.example.org/v1", "https://models.example.org/v1"),
    "a slash at the end": ("https://models.example.org/v1/", "https://models.example.org/v1"),
    "slashes at the end": ("https://models.example.org//", "https://models.example.org"),
    "letters": ("HTTPS://Models.Example.ORG/V1", "https://models.example.org/V1"),
    "a port": ("https://models.example.org:8443/v1", "https://models.example.org:8443/v1"),
    "the usual port": ("https://models.example.org:443/v1", "https://models.example.org/v1"),
    "the usual port of http": ("http://127.0.0.1:80/", "http://127.0.0.1"),
    "another's usual port": ("http://localhost:443", "http://localhost:443"),
    "an IPv6 address": ("http://[0:0::1]:11434/v1", "http://[::1]:11434/v1"),
    "one word": ("https://models/v1", "https://models/v1"),
}


@pytest.mark.parametrize(("written", "kept"), ADDRESSES.values(), ids=ADDRESSES)
def test_a_url_is_kept_in_one_way(written: str, kept: str) -> None:
    assert recipient(f'url: "{written}"').url == kept
    assert address(kept) == kept


@given(st.text(alphabet="htps:/[]@?#%.-_~aZ09\\ \x00é", max_size=30).map(lambda rest: f"https://{rest}"))
def test_what_is_kept_of_a_url_has_a_host_and_neither_user_nor_query(written: str) -> None:
    try:
        kept = address(written)
    except NotAnAddress:
        return
    assert kept == address(kept)
    assert kept.startswith("https://")
    assert kept[8:9] not in ("", "/", ":")
    assert not set("?# \\\x00é") & set(kept)
    assert "@" not in kept[8:].partition("/")[0]


LOOPBACK = (
    "http://localhost:11434/v1",
    "http://127.0.0.1",
    "http://127.8.9.1:1",
    "http://[::1]:8080",
    "http://LOCALHOST",
)
OPEN = (
    *("http://models.example.org", "http://10.0.0.1", "http://localhost.example.org", "http://127.0.0.1.example.org"),
    *(
        "http://0.0.0.0",
        "http://127.1",
        "http://2130706433",
        "http://[::2]",
        "http://[::ffff:8.8.8.8]",
        "http://0177.0.0.1",
    ),
)


@pytest.mark.parametrize("url", LOOPBACK)
@pytest.mark.parametrize("ring", ["house", "partner"])
def test_http_to_this_machine_is_read_by_nobody_else(url: str, ring: str) -> None:
    policy = read_policy(text(f'url: "{url}"', ring))
    assert warnings_of(policy) == []


@pytest.mark.parametrize("url", OPEN)
def test_http_to_another_machine_is_a_warning_in_the_house_and_a_fault_for_a_partner(url: str) -> None:
    assert is_open(address(url))
    assert warnings_of(read_policy(text(f'url: "{url}"'))) == [
        "what is sent to 'x' can be read on the way there. Write https:// in its url."
    ]
    with pytest.raises(Exception, match="has 1 fault"):
        read_policy(text(f'url: "{url}"', "partner"))


# ---------------------------------------------------------------- secret


def test_a_secret_is_a_place_and_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    assert recipient("secret: env:NO_SUCH_VARIABLE").secret == Secret("env:NO_SUCH_VARIABLE")
    missing = tmp_path / "none"
    assert recipient(f"secret: 'file:{missing}'").secret == Secret(f"file:{missing}")


def written(folder: Path, keys: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "policy.yaml"
    path.write_text(text(keys))
    return path


@pytest.mark.parametrize("name", ["key", "keys/openai", "../key", "./key of ours"])
def test_a_relative_secret_lies_beside_the_policy_wherever_it_is_loaded_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = written(tmp_path / "policies", f'secret: "file:{name}"')
    key = path.parent / name
    key.parent.mkdir(exist_ok=True)
    key.write_text("k-1\n")
    monkeypatch.chdir(tmp_path)
    for given_path in (path, Path("policies/policy.yaml"), Path("policies/../policies/policy.yaml")):
        secret = load_policy(given_path).recipients["x"].secret
        assert secret is not None
        assert Path(secret.source.removeprefix("file:")).is_absolute()
        assert secret.read() == "k-1"
    # The folder a command is run in must not choose the key.
    monkeypatch.chdir(os.sep)
    checked = check_file(path).policy
    assert checked is not None
    assert checked.recipients["x"].secret == secret


def test_a_policy_has_one_digest_wherever_it_lies(tmp_path: Path) -> None:
    paths = [written(tmp_path / folder, "secret: file:key") for folder in ("one", "two")]
    first, second = (load_policy(path) for path in paths)
    assert first.digest == second.digest
    assert first.recipients["x"].secret != second.recipients["x"].secret


# ---------------------------------------------------------------- house


def test_a_house_has_a_directory_a_root_of_trust_and_the_least_tier(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "capacity: rented, directory: HTTPS://House.example/, trust: trust/root.json, min_tier: software-dev",
    )
    root = tmp_path / "trust" / "root.json"
    root.parent.mkdir()
    root.write_bytes(b"{}")
    found = load_policy(path).recipients["x"]
    assert (found.capacity, found.directory, found.min_tier) == ("rented", "https://house.example", "software-dev")
    assert found.trust == str(root)
    assert found.trust_digest == f"sha256:{hashlib.sha256(b'{}').hexdigest()}"


@pytest.mark.parametrize("url", LOOPBACK)
def test_a_directory_on_this_machine_needs_no_tls(url: str) -> None:
    assert recipient(f'directory: "{url}"').directory is not None


def test_what_a_trust_file_holds_is_part_of_the_digest_and_where_it_lies_is_not(tmp_path: Path) -> None:
    digests: list[str] = []
    for folder, root in (("one", b"1"), ("two", b"1"), ("three", b"2")):
        path = written(tmp_path / folder, "trust: root.json")
        (path.parent / "root.json").write_bytes(root)
        digests.append(load_policy(path).digest)
    assert digests[0] == digests[1] != digests[2]


UNUSABLE: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "not there"),
    "empty": (b"", "empty, larger than 1,048,576 bytes, or may not be read"),
    "too large": (b"x" * (2**20 + 1), "empty, larger than 1,048,576 bytes, or may not be read"),
}


@pytest.mark.parametrize(("root", "why"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_trust_file_that_cannot_be_used_is_a_fault_that_names_it(
    tmp_path: Path, root: bytes | None, why: str
) -> None:
    path = written(tmp_path, "trust: root.json")
    if root is not None:
        (tmp_path / "root.json").write_bytes(root)
    (fault,) = check_file(path).fault_lines
    assert fault.endswith(f"recipients.x.trust names the file 'root.json', which is {why}.")


def test_a_pipe_in_the_place_of_a_trust_file_is_not_waited_for(tmp_path: Path) -> None:
    path = written(tmp_path, "trust: root.json")
    os.mkfifo(tmp_path / "root.json")
    (fault,) = check_file(path).fault_lines
    assert fault.endswith("which is not there.")


# ---------------------------------------------------------------- the rest


def test_what_is_said_of_a_recipient_is_kept() -> None:
    found = recipient(
        "region: eu, retention: 30d, capabilities: [text, tools], "
        'options: {api: chat, "a key": [1, 2.5, true, null, {b: "", c: []}], deep: {deeper: {}}}'
    )
    assert (found.region, found.retention, found.capabilities) == ("eu", "30d", frozenset({"text", "tools"}))
    assert found.options == {
        "api": "chat",
        "a key": [1, 2.5, True, None, {"b": "", "c": []}],
        "deep": {"deeper": {}},
    }


def test_nothing_is_said_of_a_recipient_unless_the_file_does() -> None:
    assert recipient("") == Recipient(name="x", ring="house", provider="openai", model="m")


def test_toml_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("""version = 1
unknown = "unclassified"
[recipients.x]
ring = "house"
provider = "openai"
model = "m"
url = "https://models.example.org/v1/"
secret = "env:KEY"
capabilities = ["text"]
options = { api = "chat", list = [1, { a = true }] }
[labels]
unclassified = {}
[tools.search]
ring = "partner"
[consent.house]
per = "ring"
[[flow]]
id = "any"
allow = { labels = "*", to = ["house"] }
consent = "ask"
[[route]]
id = "all"
prefer = ["x"]
""")
    from_toml = load_policy(path)
    path = tmp_path / "policy.yaml"
    path.write_text("""version: 1
unknown: unclassified
recipients:
  x: {ring: house, provider: openai, model: m, url: "https://models.example.org/v1", secret: env:KEY,
      capabilities: [text], options: {list: [1, {a: true}], api: chat}}
labels: {unclassified: {}}
tools: {search: {ring: partner}}
consent: {house: {per: ring}}
flow: [{id: any, allow: {labels: "*", to: [house]}, consent: ask}]
route: [{id: all, prefer: [x]}]
""")
    from_yaml = load_policy(path)
    assert from_toml.document == from_yaml.document
    assert from_toml.digest == from_yaml.digest


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1" * 400])
def test_a_number_that_json_cannot_say_is_refused_in_options(tmp_path: Path, number: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f'[recipients.x]\nring = "house"\nprovider = "p"\nmodel = "m"\noptions = {{ a = {number} }}\n')
    assert any("a number in recipients.x.options" in line for line in check_file(path).fault_lines)


OTHER = {
    "url": "url: https://a.example/v1",
    "another url": "url: https://b.example/v1",
    "secret": "secret: env:A",
    "another secret": "secret: env:B",
    "region": "region: eu",
    "retention": "retention: none",
    "capabilities": "capabilities: [text]",
    "more capabilities": "capabilities: [text, tools]",
    "options": "options: {a: 1}",
    "an option's value": "options: {a: [1]}",
    "capacity": "capacity: rented",
    "directory": "directory: https://a.example",
    "another directory": "directory: https://b.example",
    "min_tier": "min_tier: apple-mda",
    "another tier": "min_tier: software-dev",
    "an option's inner key": "options: {a: [{b: 1}]}",
}


def test_the_digest_covers_everything_that_is_said_of_a_recipient() -> None:
    digests = [read_policy(text(keys)).digest for keys in ("", *OTHER.values())]
    assert len(set(digests)) == len(digests)


SAME = {
    "the order of capabilities": ("capabilities: [tools, text]", "capabilities: [text, tools]"),
    "the order of options": ("options: {a: {c: 1, b: 2}, d: 3}", "options: {d: 3, a: {b: 2, c: 1}}"),
    "the writing of a url": ("url: HTTPS://A.example:443/v1/", "url: https://a.example/v1"),
    "options that are empty": ("options: {}", ""),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_the_digest_does_not_change_with(one: str, other: str) -> None:
    assert read_policy(text(one)).digest == read_policy(text(other)).digest


# ---------------------------------------------------------------- what is required of a recipient

REQUIRED: dict[str, tuple[str, str, str | None]] = {
    "met": ("retention: none", "{retention: none}", None),
    "met, one of several": ("region: ch, retention: none", "{region: [eu, ch], retention: none}", None),
    "not known": ("", "{retention: none}", "requires retention none, which is not known of 'x'"),
    "neither known": (
        "",
        "{region: [eu, ch], retention: none}",
        "requires retention none and region ch or eu, which is not known of 'x'",
    ),
    "another": ("retention: 30d", "{retention: none}", "requires retention none: 'x' declares retention 30d"),
    "another and not known": (
        "region: us",
        "{region: eu, retention: none}",
        "requires retention none and region eu: 'x' declares no retention and region us",
    ),
    "one of two": (
        "region: us, retention: none",
        "{region: eu, retention: none}",
        "requires region eu: 'x' declares region us",
    ),
    "letters count": ("region: EU", "{region: eu}", "requires region eu: 'x' declares region EU"),
}


@pytest.mark.parametrize(("keys", "require", "why"), REQUIRED.values(), ids=REQUIRED)
def test_what_a_rule_requires_is_decided_by_what_the_recipient_declares(
    keys: str, require: str, why: str | None
) -> None:
    policy = read_policy(text(keys, require=f"require: {require}"))
    verdict = policy.decide(Facts(task="rewrite", labels=frozenset({"work"}), input_tokens=1)).recipients["x"]
    if why is None:
        assert (verdict.verdict, verdict.rules) == ("allow", ("any",))
    else:
        assert verdict.reason == f"no rule allows label 'work'; rule 'any' {why}"


def test_a_requirement_that_no_recipient_of_the_rule_meets_is_a_warning() -> None:
    require = "require: {retention: none, region: [eu, ch]}"
    says = "rule 'any' requires retention none and region ch or eu, which no recipient that it names declares."
    assert says in warnings_of(read_policy(text("retention: 30d", require=require)))
    assert says not in warnings_of(read_policy(text("retention: none, region: eu", require=require)))


def test_a_secret_of_a_recipient_stands_in_no_repr(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("canary")
    policy: Any = read_policy(text(f"secret: 'file:{key}'"))
    assert "canary" not in repr(policy.recipients) + repr(policy.document) + repr(policy)
