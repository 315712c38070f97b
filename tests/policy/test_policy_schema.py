"""The JSON Schema accepts what loads, and refuses what a schema can see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from ringfence.policy import json_schema

POLICIES = [
    *sorted((Path(__file__).parents[2] / "examples" / "policies").glob("*.yaml")),
    Path(__file__).parents[2] / "core/src/ringfence/policy/builtin.yaml",
]
SMALL = """version: 1
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  away: {ring: partner, provider: openai, model: m, url: "https://a.example/v1", secret: env:KEY, region: eu,
         retention: none, capabilities: [text, tools], options: {api: chat, list: [1, {a: true}]}}
tools: {create_event: {ring: device}}
consent: {partner: {per: ring, lasts: request, show: [recipient, labels], when_no_ui: deny}, away: {}}
facts: {user.age: {type: enum, values: [adult, minor]}}
labels: {work: {detect: [email]}, unclassified: {}}
unknown: unclassified
flow:
  - {id: any, allow: {labels: "*", to: [device]}, require: {attested: true}, when: {user.age: [adult]}}
  - {id: out, allow: {labels: [work], to: [partner]}, consent: ask, require: {region: [eu, ch], retention: none}}
  - {id: none, deny: {labels: [work], to: [device]}, when: {not: {input_tokens: {over: 5}}}}
route:
  - {id: some, prefer: [mlx], when: {labels: [work], any: [{task: [rewrite]}, {modality: [image]}]}}
  - {id: all, prefer: [mlx], fallback: none, on_broken_stream: restart}
"""


def parse(text: str) -> Any:
    parser: Any = YAML(typ="safe", pure=True)
    return parser.load(text)


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json_schema())


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_the_schema_accepts_what_ships(path: Path, validator: jsonschema_rs.Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(parse(path.read_text(encoding="utf-8")))] == []


def test_the_schema_accepts_every_kind_of_key(validator: jsonschema_rs.Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(parse(SMALL))] == []


def test_the_schema_is_a_schema() -> None:
    assert jsonschema_rs.meta.is_valid(json_schema())


FAULTY = {
    "version": ("version: 1", "version: 2"),
    "unknown key": ("unknown:", "unknwon:"),
    "a key of later": ("version: 1", "version: 1\naudit: {}"),
    "unknown is public": ("unknown: unclassified", "unknown: public"),
    "ring": ("ring: device", "ring: devise"),
    "a recipient's missing key": (", model: m", ""),
    "a recipient's key of later": ("model: m", "model: m, capacity: owned"),
    "a recipient named like a ring": ("  mlx: {", "  house: {"),
    "url on the device": ("mlx, model: m", 'mlx, model: m, url: "https://a.example"'),
    "secret on the device": ("mlx, model: m", "mlx, model: m, secret: env:KEY"),
    "url without a scheme": ("https://a.example/v1", "a.example/v1"),
    "url with a user": ("https://a.example/v1", "https://me:key@a.example/v1"),
    "url with a query": ("https://a.example/v1", "https://a.example/v1?key=x"),
    "a secret in the file": ("env:KEY", "sk-1234"),
    "a secret's bad variable": ("env:KEY", "env:1KEY"),
    "region with a space": ("region: eu,", "region: west europe,"),
    "retention is a number": ("retention: none,", "retention: 0,"),
    "capability": ("[text, tools]", "[text, tols]"),
    "options is a list": ("options: {api: chat, list: [1, {a: true}]}", "options: [1]"),
    "tool without a ring": ("{create_event: {ring: device}}", "{create_event: {}}"),
    "tool with a space": ("{create_event: ", "{create event: "),
    "consent on a deny": ("{id: none, deny", "{id: none, consent: ask, deny"),
    "consent is another word": ("consent: ask", "consent: always"),
    "a partner without consent": ("consent: ask, ", ""),
    "consent per": ("per: ring", "per: rings"),
    "consent lasts": ("lasts: request", "lasts: session"),
    "consent show": ("show: [recipient, labels]", "show: [label]"),
    "consent when nobody can be asked": ("when_no_ui: deny", "when_no_ui: allow"),
    "fact without user.": ("{user.age: {type", "{age: {type"),
    "enum without values": ("type: enum, values: [adult, minor]", "type: enum"),
    "bool with values": ("type: enum", "type: bool"),
    "label is empty": ("unclassified: {}", "unclassified:"),
    "declare": ("detect: [email]", 'declare: "yes"'),
    "detect is text": ("detect: [email]", "detect: email"),
    "both": ("allow: {labels", "deny: {labels: [work], to: [device]}, allow: {labels"),
    "neither": ("deny: {labels: [work], to: [device]}, ", ""),
    "deny with require": ("deny: {labels", "require: {attested: true}, deny: {labels"),
    "attested false": ("attested: true", "attested: false"),
    "star among labels": ("labels: [work], to", 'labels: ["*"], to'),
    "labels read in flow": ("when: {user.age: [adult]}", "when: {labels: [work]}"),
    "cel": ("when: {user.age: [adult]}", "when: {cel: x}"),
    "device fact": ("when: {user.age: [adult]}", "when: {device.os: [x]}"),
    "modality": ("modality: [image]", "modality: [imgae]"),
    "bound": ("over: 5", "ovr: 5"),
    "fraction": ("over: 5", "over: 5.5"),
    "empty when": ("when: {user.age: [adult]}", "when: {}"),
    "redact": ("allow: {labels", "redact: mask, allow: {labels"),
    "overflow": ("fallback: none", "overflow: {to: [mlx]}"),
    "fallback": ("fallback: none", "fallback: nothing"),
    "on_broken_stream": ("restart", "retry"),
    "empty prefer": ("prefer: [mlx], fallback", "prefer: [], fallback"),
}


@pytest.mark.parametrize(("good", "bad"), FAULTY.values(), ids=FAULTY)
def test_the_schema_refuses(good: str, bad: str, validator: jsonschema_rs.Draft202012Validator) -> None:
    assert good in SMALL
    assert not validator.is_valid(parse(SMALL.replace(good, bad, 1)))


def test_every_part_of_the_schema_is_described_or_referred_to() -> None:
    schema = json_schema()
    referred = set(re.findall(r"#/\$defs/(\w+)", str(schema)))
    assert referred == set(schema["$defs"])
