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
    Path(__file__).parents[2] / "examples" / "policies" / "acme-assistant.yaml",
    *sorted((Path(__file__).parents[2] / "examples" / "policies").glob("*.yaml")),
    Path(__file__).parents[2] / "core/src/ringfence/policy/builtin.yaml",
]
SMALL = """version: 1
include: [company.yaml]
shadow: next.yaml
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  own: {ring: house, provider: house, model: m, capacity: rented, directory: "https://h.example", trust: root.json,
        min_tier: apple-mda}
  away: {ring: partner, provider: openai, model: m, url: "https://a.example/v1", secret: env:KEY, region: eu,
         retention: none, capabilities: [text, tools], options: {api: chat, list: [1, {a: true}]}}
tools: {create_event: {ring: device}}
consent: {partner: {per: ring, lasts: request, show: [recipient, labels], when_no_ui: deny}, away: {lasts: 30d}}
facts: {user.age: {type: enum, values: [adult, minor]}, device.locked: {type: bool}, app.version: {type: int}}
labels: {work: {detect: [email]}, unclassified: {}}
unknown: unclassified
flow:
  - {id: any, allow: {labels: "*", to: [device]}, require: {attested: true}, when: {user.age: [adult]}}
  - {id: out, allow: {labels: [work], to: [partner]}, consent: ask, require: {region: [eu, ch], retention: none}}
  - {id: own, allow: {labels: [work], to: [house]}, redact: pseudonym, when: {cel: "input_tokens < 9"}}
  - {id: none, deny: {labels: [work], to: [device]}, when: {not: {input_tokens: {over: 5}}}}
  - {id: late, deny: {labels: [work], to: [away]}, when: {time: {days: [sat], from: "22:00", to: "24:00", zone: UTC}}}
route:
  - {id: some, prefer: [mlx], when: {labels: [work], any: [{task: [rewrite]}, {modality: [image]}]}}
  - {id: all, prefer: [mlx], overflow: {to: [own], when_utilisation_over: 0.85}, fallback: none,
     on_broken_stream: restart}
budgets: [{id: month, of: [partner], limit: "500.50 USD", per: month, when_spent: deny}]
audit: {content: none, keep: 400d}
invariants:
  - never: {labels: [work], to: [partner], unless: redacted}
  - consent: {to: [partner]}
  - only: {task: [rewrite], to: [device], when: {user.age: [minor]}}
tests:
  - name: all of it
    request: {task: rewrite, text: "", labels: [work], modality: [text], input_tokens: 5, user: {age: adult},
              device: {locked: true}, app: {version: 3}, to: [mlx], at: "2026-03-02T09:30"}
    expect: {labels: [work], outcome: allow, route: all, plan: [], allowed: [mlx], never: [partner], consent: [],
             redact: {own: {work: pseudonym}}}
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


def test_the_schema_accepts_a_layer_which_declares_nothing(validator: jsonschema_rs.Draft202012Validator) -> None:
    layer = parse("version: 1\nname: group\nflow: [{id: x, deny: {labels: [work], to: [partner]}}]\n")
    assert validator.is_valid(layer)
    assert not validator.is_valid({**layer, "unknown": "work"})


def test_the_schema_is_a_schema() -> None:
    assert jsonschema_rs.meta.is_valid(json_schema())


FAULTY = {
    "version": ("version: 1", "version: 2"),
    "unknown key": ("unknown:", "unknwon:"),
    "include is text": ("include: [company.yaml]", "include: company.yaml"),
    "shadow is a list": ("shadow: next.yaml", "shadow: [next.yaml]"),
    "a policy without a route": ("route:\n", "reason:\n"),
    "a policy without recipients": ("recipients:", "tasks:"),
    "unknown is public": ("unknown: unclassified", "unknown: public"),
    "ring": ("ring: device", "ring: devise"),
    "a recipient's missing key": (", model: m", ""),
    "capacity": ("capacity: rented", "capacity: hired"),
    "a directory that is no URL": ("https://h.example", "h.example"),
    "a trust file of the home folder": ("trust: root.json", "trust: ~/root.json"),
    "a tier with a space": ("min_tier: apple-mda", "min_tier: apple mda"),
    "a directory on the device": ("mlx, model: m", "mlx, model: m, directory: 'https://h.example'"),
    "a trust file of a partner": ("openai, model: m", "openai, model: m, trust: root.json"),
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
    "consent lasts": ("lasts: request", "lasts: always"),
    "consent lasts for no time": ("lasts: 30d", "lasts: 0d"),
    "consent lasts for years": ("lasts: 30d", "lasts: 1y"),
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
    "cel is a list": ('{cel: "input_tokens < 9"}', "{cel: [x]}"),
    "fact of nothing": ("when: {user.age: [adult]}", "when: {time.hour: [x]}"),
    "time without anything": ('{days: [sat], from: "22:00", to: "24:00", zone: UTC}', "{zone: UTC}"),
    "day": ("days: [sat]", "days: [saturday]"),
    "time of day": ('from: "22:00"', 'from: "22"'),
    "time of day beyond the day": ('to: "24:00"', 'to: "24:01"'),
    "time that begins at the end": ('from: "22:00"', 'from: "24:00"'),
    "modality": ("modality: [image]", "modality: [imgae]"),
    "bound": ("over: 5", "ovr: 5"),
    "fraction": ("over: 5", "over: 5.5"),
    "empty when": ("when: {user.age: [adult]}", "when: {}"),
    "redact": ("redact: pseudonym", "redact: blur"),
    "deny with redact": ("deny: {labels", "redact: mask, deny: {labels"),
    "overflow without a figure": (", when_utilisation_over: 0.85", ""),
    "overflow over more than all": ("0.85", "85"),
    "overflow over nothing": ("0.85", "0"),
    "budget without a limit": ('limit: "500.50 USD", ', ""),
    "budget in another currency": ("500.50 USD", "500 EUR"),
    "budget of nothing": ("500.50 USD", "0 USD"),
    "budget of half a token": ("500.50 USD", "500.50 tokens"),
    "budget per": ("per: month", "per: fortnight"),
    "budget when spent": ("when_spent: deny", "when_spent: allow"),
    "audit content": ("content: none", "content: all"),
    "audit keep": ("keep: 400d", "keep: 400"),
    "two invariants in one": ("- consent: {to", "- only: {to: [device]}\n    consent: {to"),
    "invariant never without labels": ("never: {labels: [work], ", "never: {"),
    "invariant unless": ("unless: redacted", "unless: masked"),
    "invariant of another kind": ("- only:", "- always:"),
    "a condition on labels in an invariant": ("when: {user.age: [minor]}", "when: {labels: [work]}"),
    "test without a name": ("- name: all of it\n   ", "-"),
    "test without anything to expect": ("    expect: {labels", "    expct: {labels"),
    "test outcome": ("outcome: allow", "outcome: yes"),
    "test redact": ("{work: pseudonym}", "{work: blur}"),
    "test tokens": ("input_tokens: 5, user", "input_tokens: -1, user"),
    "test fact is a list": ("{age: adult}", "{age: [adult]}"),
    "fallback": ("fallback: none", "fallback: nothing"),
    "on_broken_stream": ("restart", "retry"),
    "empty prefer": ("prefer: [mlx], overflow", "prefer: [], overflow"),
}


@pytest.mark.parametrize(("good", "bad"), FAULTY.values(), ids=FAULTY)
def test_the_schema_refuses(good: str, bad: str, validator: jsonschema_rs.Draft202012Validator) -> None:
    assert good in SMALL
    assert not validator.is_valid(parse(SMALL.replace(good, bad, 1)))


def test_every_part_of_the_schema_is_described_or_referred_to() -> None:
    schema = json_schema()
    referred = set(re.findall(r"#/\$defs/(\w+)", str(schema)))
    assert referred == set(schema["$defs"])
