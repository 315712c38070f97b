"""Every message of the policy loader: its words, its line and its column.

In each case the character `§` stands before the place that the fault must name; it is taken out before reading.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ringfence.errors import PolicyInvalid
from ringfence.policy import read_policy

MARK = "§"
GOOD: Mapping[str, str] = {
    "version": "version: 1",
    "name": "name: acme",
    "recipients": """recipients:
  mlx:    {ring: device, provider: mlx, model: small}
  own-dc: {ring: house, provider: house, model: large}
  openai: {ring: partner, provider: openai, model: gpt}""",
    "facts": """facts:
  user.age_band: {type: enum, values: [adult, minor]}
  user.staff: {type: bool}
  user.level: {type: int, min: 0, max: 9}""",
    "labels": """labels:
  public: {}
  contact: {detect: [email]}
  health: {declare: true}
  unclassified: {}""",
    "unknown": "unknown: unclassified",
    "clean": "clean: public",
    "tasks": "tasks: [minutes]",
    "flow": """flow:
  - id: device-any
    allow: {labels: "*", to: [device]}""",
    "route": """route:
  - id: otherwise
    prefer: [mlx]""",
}


def faults_of(text: str, source: str = "policy.yaml") -> list[str]:
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text, source=source)
    return list(caught.value.faults)


def marked(text: str) -> tuple[str, list[str]]:
    """The text without its marks, and `line:col` of each."""
    places: list[str] = []
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        rest = line
        while MARK in rest:
            places.append(f"{number}:{rest.index(MARK) + 1}")
            rest = rest.replace(MARK, "", 1)
        lines.append(rest)
    return "\n".join(lines), places


def check(text: str, *messages: str) -> None:
    plain, places = marked(text)
    assert faults_of(plain) == [
        f"policy.yaml:{place}: {message}" for place, message in zip(places, messages, strict=True)
    ]


def good(**sections: str) -> str:
    """The good file with some sections replaced; an empty one is left out."""
    return "\n".join(text for text in {**GOOD, **sections}.values() if text)


def flow(rule: str) -> str:
    return good(flow=f"{GOOD['flow']}\n{rule}")


def route(rule: str) -> str:
    return good(route=f"route:\n{rule}\n  - id: otherwise\n    prefer: [mlx]")


def test_the_good_file_has_no_fault() -> None:
    assert read_policy(good()).name == "acme"


WITHOUT_CONSENT = 'allows a partner without consent. Add "consent: ask".'
FROM_POLICY_MD = {
    "unknown key": (
        flow("  - id: x\n    deny: {labels: [health], to: [house]}\n    §redcat: mask"),
        "unknown key 'redcat' in flow rule 'x'. Did you mean 'redact'?",
    ),
    "label not declared": (
        flow("  - id: x\n    deny: {labels: [§heatlh], to: [house]}"),
        "label 'heatlh' is not declared under labels:. Did you mean 'health'?",
    ),
    "partner without consent": (
        flow("  - §id: partner-public\n    allow: {labels: [public], to: [partner]}"),
        f"rule 'partner-public' {WITHOUT_CONSENT}",
    ),
    "partner by name without consent": (
        flow("  - §id: x\n    allow: {labels: [public], to: [device, openai]}"),
        f"rule 'x' {WITHOUT_CONSENT}",
    ),
    "unknown is public": (
        good(unknown="§unknown: public", clean=""),
        "unknown: public would let unscanned content go wherever public data may go. Use a restricted label.",
    ),
    "fact not declared": (
        flow("  - id: x\n    deny: {labels: [health], to: [house]}\n    when: {§user.age_bnd: [minor]}"),
        "'user.age_bnd' is not declared under facts:. Did you mean 'user.age_band'?",
    ),
    "last route has when": (
        good(route="route:\n  - §id: x\n    prefer: [mlx]\n    when: {task: [rewrite]}"),
        "the last route has a when:, so some requests match no route. End with a route that has none.",
    ),
    "duplicate key": (
        good(unknown="unknown: unclassified\n§unknown: unclassified"),
        "key 'unknown' appears twice (first on line 16).",
    ),
    "deny with redact": (
        flow("  - §id: rented-not-work\n    deny: {labels: [health], to: [house]}\n    redact: mask"),
        "rule 'rented-not-work' is a deny: it cannot carry redact or consent.",
    ),
    "deny with consent": (
        flow("  - §id: x\n    deny: {labels: [health], to: [house]}\n    consent: ask"),
        "rule 'x' is a deny: it cannot carry redact or consent.",
    ),
    "can never match": (
        flow(
            "  - §id: tiny\n    deny: {labels: [health], to: [house]}\n    when: {input_tokens: {over: 100, max: 50}}"
        ),
        "rule 'tiny' can never match: input_tokens over 100 and max 50.",
    ),
}


@pytest.mark.parametrize(("text", "message"), FROM_POLICY_MD.values(), ids=FROM_POLICY_MD)
def test_the_messages_of_the_policy_language(text: str, message: str) -> None:
    check(text, message)


DENY = "deny: {labels: [health], to: [house]}"
OURS = {
    "version": (
        good(version="version: §2"),
        "this version of ringfence reads policy files of version 1. Write version: 1.",
    ),
    "version is text": (
        good(version='version: §"1"'),
        "this version of ringfence reads policy files of version 1. Write version: 1.",
    ),
    "misspelt at the top": (good() + "\n§bugdets: []", "unknown key 'bugdets'. Did you mean 'budgets'?"),
    "misspelt and like nothing": (good() + "\n§zzz: []", "unknown key 'zzz'."),
    "missing section": ("§" + good(route=""), "key 'route' is missing."),
    "name is a number": (good(name="name: §7"), "name must be text, not a number. Put it in quotes."),
    "name with a space": (
        good(name="name: §my policy"),
        "'my policy' cannot be a name in name: write 1 to 64 letters, digits, '_', '-' and '.'.",
    ),
    "recipients is a list": (
        good(recipients="recipients: §[mlx]"),
        "recipients must be a mapping, not a list.",
    ),
    "ring misspelt": (
        good(recipients=GOOD["recipients"].replace("ring: house", "ring: §hous")),
        "'hous' is not a value of recipients.own-dc.ring: 'device', 'house' or 'partner'. Did you mean 'house'?",
    ),
    "ring missing": (
        good(recipients=GOOD["recipients"].replace("{ring: house, ", "§{")),
        "key 'ring' in recipients.own-dc is missing. Write device, house or partner.",
    ),
    "recipient named like a ring": (
        good(recipients=f"{GOOD['recipients']}\n  §partner: {{ring: house, provider: p, model: m}}"),
        "a recipient cannot be named 'partner': that is a ring.",
    ),
    "url on the device": (
        good(
            recipients=f'{GOOD["recipients"]}\n  x: {{ring: device, provider: p, model: m, §url: "http://localhost"}}'
        ),
        "recipient 'x' is on the device: it takes no url. A server on localhost is house or partner.",
    ),
    "label is empty": (
        good(labels=GOOD["labels"].replace("public: {}", "§public:")),
        "labels.public must be a mapping such as {}, not empty.",
    ),
    "declare: yes": (
        good(labels=GOOD["labels"].replace("declare: true", "declare: §yes")),
        "labels.health.declare must be true or false, not 'yes'.",
    ),
    "declare: True": (
        good(labels=GOOD["labels"].replace("declare: true", "declare: §True")),
        "labels.health.declare must be true or false, not 'True'.",
    ),
    "detect is text": (
        good(labels=GOOD["labels"].replace("[email]", "§email")),
        "labels.contact.detect must be a list such as [email], not text. Write [email].",
    ),
    "detect twice": (
        good(labels=GOOD["labels"].replace("[email]", "[email, §email]")),
        "'email' appears twice in labels.contact.detect.",
    ),
    "unknown not declared": (
        good(unknown="unknown: §unclasified"),
        "label 'unclasified' is not declared under labels:. Did you mean 'unclassified'?",
    ),
    "unknown is clean": (
        good(unknown="§unknown: health", clean="clean: health"),
        "unknown: health would let unscanned content go wherever health data may go. Use a restricted label.",
    ),
    "clean not declared": (
        good(clean="clean: §publc"),
        "label 'publc' is not declared under labels:. Did you mean 'public'?",
    ),
    "clean without detect": (
        good(labels=GOOD["labels"].replace("{detect: [email]}", "{}"), clean="§clean: public"),
        "clean: public needs a label with detect: without a detector no text can be found clean.",
    ),
    "task other": (
        good(tasks="tasks: [§other]"),
        "task 'other' cannot be declared: it is what a task that no file declares is matched as.",
    ),
    "fact without user.": (
        good(facts="facts:\n  §age: {type: bool}"),
        "fact 'age' must begin with user., device. or app., such as user.age_band.",
    ),
    "fact type": (
        good(facts="facts:\n  user.age: {type: §enumm, values: [a]}"),
        "'enumm' is not a value of facts.user.age.type: 'enum', 'bool', 'int' or 'number'. Did you mean 'enum'?",
    ),
    "enum without values": (
        good(facts="facts:\n  user.age: §{type: enum}"),
        "facts.user.age is an enum: it needs values, such as [adult, minor].",
    ),
    "bool with values": (
        good(facts="facts:\n  user.age: {type: bool, §values: [a]}"),
        "facts.user.age is of type bool: it takes no values.",
    ),
    "fact without a value": (
        good(facts="facts:\n  user.age: {type: int, §min: 9, max: 3}"),
        "facts.user.age can have no value: min 9 is over max 3.",
    ),
    "neither allow nor deny": (flow("  - §id: x"), "rule 'x' must have exactly one of allow and deny."),
    "both allow and deny": (
        flow(f"  - §id: x\n    allow: {{labels: [public], to: [house]}}\n    {DENY}"),
        "rule 'x' must have exactly one of allow and deny.",
    ),
    "deny with require": (
        flow(f"  - §id: x\n    {DENY}\n    require: {{attested: true}}"),
        "rule 'x' is a deny: it cannot carry require.",
    ),
    "attested false": (
        flow("  - id: x\n    allow: {labels: [public], to: [house]}\n    require: {§attested: false}"),
        "require.attested of flow rule 'x' can only be true. Leave it out.",
    ),
    "a number beyond exactness": (
        flow(f"  - id: x\n    {DENY}\n    when: {{input_tokens: {{max: §99999999999999999}}}}"),
        "when.input_tokens.max of flow rule 'x' must lie between -9007199254740992 and 9007199254740992.",
    ),
    "a fact that is not a number": (
        good(facts="facts:\n  user.age: {type: number, min: §.nan}"),
        "facts.user.age.min must be a number, not '.nan'.",
    ),
    "control characters in a text": (
        good(recipients=f'{GOOD["recipients"]}\n  x: {{ring: device, provider: p, model: §"a\\e[31m"}}'),
        "recipients.x.model holds control characters.",
    ),
    "same id": (
        flow(f"  - id: §device-any\n    {DENY}"),
        "id 'device-any' appears twice (first on line 20).",
    ),
    "id missing": (flow(f"  - §{DENY}"), "key 'id' in flow[1] is missing."),
    "to misspelt": (
        flow("  - id: x\n    deny: {labels: [health], to: [§partnr]}"),
        "'partnr' is neither a ring nor declared under recipients:. Did you mean 'partner'?",
    ),
    "labels is one label": (
        flow("  - id: x\n    deny: {labels: §health, to: [house]}"),
        "deny.labels of flow rule 'x' must be a list such as [public], not text. Write [health].",
    ),
    "labels is another word": (
        flow("  - id: x\n    deny: {labels: §all, to: [house]}"),
        "deny.labels of flow rule 'x' must be a list such as [public], or \"*\" for every label, not text.",
    ),
    "to is text": (
        flow("  - id: x\n    deny: {labels: [health], to: §house}"),
        "deny.to of flow rule 'x' must be a list such as [device], not text. Write [house].",
    ),
    "labels is empty": (
        flow("  - id: x\n    deny: {labels: §[], to: [house]}"),
        "deny.labels of flow rule 'x' is empty. Name at least one, or leave it out.",
    ),
    "star among labels": (
        flow('  - id: x\n    deny: {labels: [health, §"*"], to: [house]}'),
        '"*" stands alone: write labels: "*" in deny.labels of flow rule \'x\'.',
    ),
    "star without quotes": (
        flow("  - id: x\n    deny: {labels: *§, to: [house]}"),
        'not valid YAML: a star needs quotes. Write "*".',
    ),
    "labels read in flow": (
        flow(f"  - id: x\n    {DENY}\n    when: {{§labels: [public]}}"),
        "when of flow rule 'x' cannot read labels: one label more could widen. Name them in the rule's own labels:.",
    ),
    "empty when": (
        flow(f"  - id: x\n    {DENY}\n    when: §{{}}"),
        "when of flow rule 'x' is empty. Leave it out if the rule always applies.",
    ),
    "misspelt matcher": (
        flow(f"  - id: x\n    {DENY}\n    when: {{§tsk: [rewrite]}}"),
        "unknown key 'tsk' in when of flow rule 'x'. Did you mean 'task'?",
    ),
    "task misspelt": (
        flow(f"  - id: x\n    {DENY}\n    when: {{task: [§rewrit]}}"),
        "task 'rewrit' is not declared under tasks:. Did you mean 'rewrite'?",
    ),
    "modality misspelt": (
        flow(f"  - id: x\n    {DENY}\n    when: {{modality: [§imgae]}}"),
        (
            "'imgae' is not a value of when.modality of flow rule 'x': 'text', 'image', "
            "'file' or 'audio'. Did you mean 'image'?"
        ),
    ),
    "fact value misspelt": (
        flow(f"  - id: x\n    {DENY}\n    when: {{user.age_band: [§minr]}}"),
        "'minr' is not a value of user.age_band: 'adult' or 'minor'. Did you mean 'minor'?",
    ),
    "bool fact with text": (
        flow(f"  - id: x\n    {DENY}\n    when: {{user.staff: §yes}}"),
        "when.user.staff of flow rule 'x' must be true or false, not 'yes'.",
    ),
    "int fact with a list": (
        flow(f"  - id: x\n    {DENY}\n    when: {{user.level: §[1]}}"),
        "when.user.level of flow rule 'x' must be a range such as {over: 1} or {max: 2}, not a list.",
    ),
    "int fact with a number": (
        flow(f"  - id: x\n    {DENY}\n    when: {{user.level: §2}}"),
        "when.user.level of flow rule 'x' must be a range such as {over: 1} or {max: 2}, not a number.",
    ),
    "a least value": (
        flow(f"  - id: x\n    {DENY}\n    when: {{user.level: {{§min: 2}}}}"),
        "unknown key 'min': write {over: 1}, which is 2 and more.",
    ),
    "a least and a most value": (
        flow(f"  - id: x\n    {DENY}\n    when: {{input_tokens: {{§min: 2, max: 9}}}}"),
        "unknown key 'min': write {over: 1}, which is 2 and more.",
    ),
    "a least value with a fraction": (
        flow(f"  - id: x\n    {DENY}\n    when: {{user.level: {{§min: 1.5}}}}"),
        "unknown key 'min': write over, which leaves out the number itself.",
    ),
    "a bound that is misspelt and alone": (
        flow(f"  - id: x\n    {DENY}\n    when: {{user.level: {{§ovr: 2}}}}"),
        "unknown key 'ovr' in when.user.level of flow rule 'x'. Did you mean 'over'?",
    ),
    "a label in curly quotes": (
        flow("  - id: x\n    deny: {labels: [§“health data”], to: [house]}"),
        "label '“health data”' is not declared under labels:. Did you mean 'health'? Use straight quotes.",
    ),
    "a time of day in curly quotes": (
        flow(f"  - id: x\n    {DENY}\n    when: {{time: {{from: §“08:00”}}}}"),
        (
            "when.time.from of flow rule 'x' must be a time of day such as \"08:00\", "
            "not '“08:00”'. Use straight quotes."
        ),
    ),
    "tokens without bounds": (
        flow(f"  - id: x\n    {DENY}\n    when: {{input_tokens: §{{}}}}"),
        "when.input_tokens of flow rule 'x' needs max (inclusive), over (exclusive), or both.",
    ),
    "tokens with a fraction": (
        flow(f"  - id: x\n    {DENY}\n    when: {{input_tokens: {{max: §1.5}}}}"),
        "when.input_tokens.max of flow rule 'x' must be a whole number, not a number.",
    ),
    "misspelt bound": (
        flow(f"  - id: x\n    {DENY}\n    when: {{input_tokens: {{max: 5, §ovr: 3}}}}"),
        "unknown key 'ovr' in when.input_tokens of flow rule 'x'. Did you mean 'over'?",
    ),
    "bounds that contradict across all": (
        flow(
            f"  - §id: x\n    {DENY}\n    when: {{all: [{{input_tokens: {{over: 9}}}}, {{input_tokens: {{max: 9}}}}]}}"
        ),
        "rule 'x' can never match: input_tokens over 9 and max 9.",
    ),
    "contradiction": (
        flow(f"  - §id: x\n    {DENY}\n    when: {{task: [embed], not: {{task: [embed, rewrite]}}}}"),
        "rule 'x' can never match: its when: contradicts itself or what is declared.",
    ),
    "beyond the fact's bounds": (
        flow("  - §id: x\n    allow: {labels: [public], to: [house]}\n    when: {user.level: {over: 9}}"),
        "rule 'x' can never match: its when: contradicts itself or what is declared.",
    ),
    "a part that can never match": (
        flow(f"  - §id: x\n    {DENY}\n    when: {{any: [{{task: [embed]}}, {{input_tokens: {{over: 2, max: 1}}}}]}}"),
        "rule 'x' has a part that can never match: input_tokens over 2 and max 1.",
    ),
    "route is empty": (
        good(route="route: §[]"),
        "route is empty, so nothing would ever be tried. Add a route with prefer:.",
    ),
    "route names a ring": (
        good(route="route:\n  - id: x\n    prefer: [§house]"),
        "'house' is a ring: prefer of route rule 'x' names recipients.",
    ),
    "route misspells a recipient": (
        good(route="route:\n  - id: x\n    prefer: [mlx]\n    fallback: [§own-cd]"),
        "recipient 'own-cd' is not declared under recipients:. Did you mean 'own-dc'?",
    ),
    "fallback is another word": (
        good(route="route:\n  - id: x\n    prefer: [mlx]\n    fallback: §nothing"),
        "fallback of route rule 'x' must be a list such as [mlx], or none, not text.",
    ),
    "on_broken_stream": (
        good(route="route:\n  - id: x\n    prefer: [mlx]\n    on_broken_stream: §retry"),
        (
            "'retry' is not a value of on_broken_stream of route rule 'x': 'fail', 'restart' "
            "or 'continue'. Did you mean 'restart'?"
        ),
    ),
    "route after one without when": (
        good(route="route:\n  - id: x\n    prefer: [mlx]\n  - §id: y\n    prefer: [own-dc]"),
        "rule 'y' can never be reached: rule 'x' before it has no when:.",
    ),
    "shadowed route": (
        route(
            "  - id: x\n    prefer: [mlx]\n    when: {input_tokens: {max: 100}}\n"
            "  - §id: y\n    prefer: [mlx]\n    when: {task: [embed], input_tokens: {max: 50}}"
        ),
        "rule 'y' can never be reached: rule 'x' before it matches every request that it does.",
    ),
    "route shadowed by several": (
        route(
            "  - id: x\n    prefer: [mlx]\n    when: {input_tokens: {max: 100}}\n"
            "  - id: y\n    prefer: [mlx]\n    when: {input_tokens: {over: 100}, task: [embed, rewrite]}\n"
            "  - §id: z\n    prefer: [mlx]\n    when: {task: [embed]}"
        ),
        "rule 'z' can never be reached: the rules before it match every request that it does.",
    ),
}


def recipient(keys: str, ring: str = "partner") -> str:
    """The good file with one recipient more, `x`, that has `keys`."""
    line = f"  x: {{ring: {ring}, provider: openai, model: m, {keys}}}"
    return good(recipients=f"{GOOD['recipients']}\n{line}")


def bottom(section: str) -> str:
    return f"{good()}\n{section}"


NO_SECRET = "recipients.x.secret must be env:NAME or file:PATH, where the key is."
NO_URL = "recipients.x.url must be an http or https URL such as https://models.example.org/v1."
CAPABILITIES = (
    "'text', 'image_input', 'file_input', 'tools', 'output_schema', 'reasoning', 'draw', 'embed', 'transcribe', "
    "'speak', 'count_tokens' or 'download'"
)
BEYOND_THE_DEVICE = {
    "directory on the device": (
        recipient("§directory: https://house.example", "device"),
        "recipient 'x' is on the device: it takes no directory. Only a recipient of the house has one.",
    ),
    "trust of a partner": (
        recipient("§trust: root.json"),
        "recipient 'x' is a partner: it takes no trust. Only a recipient of the house has one.",
    ),
    "min_tier of a partner": (
        recipient("§min_tier: apple-mda"),
        "recipient 'x' is a partner: it takes no min_tier. Only a recipient of the house has one.",
    ),
    "a directory that anybody can change": (
        recipient("directory: §http://house.example", "house"),
        (
            "recipients.x.directory would be read over a way that anybody can change. "
            "Write https://; http:// is for localhost."
        ),
    ),
    "a directory with a query": (
        recipient('directory: §"https://house.example?a=canary"', "house"),
        "recipients.x.directory ends with its path. Take the query or fragment out.",
    ),
    "a relative trust file in no file": (
        recipient("trust: §trust/root.json", "house"),
        "recipients.x.trust is relative, and this policy stands in no file. Write the whole path.",
    ),
    "a trust file of the home folder": (
        recipient("trust: §~/root.json", "house"),
        "recipients.x.trust begins with ~. Write the whole path, or one relative to this file.",
    ),
    "a trust file that is not there": (
        recipient("trust: §/no/such/root.json", "house"),
        "recipients.x.trust names the file '/no/such/root.json', which is not there.",
    ),
    "a tier with a space": (
        recipient("min_tier: §apple mda", "house"),
        "'apple mda' cannot be a name in recipients.x.min_tier: write 1 to 64 letters, digits, '_', '-' and '.'.",
    ),
    "capacity": (
        recipient("capacity: §rent", "house"),
        "'rent' is not a value of recipients.x.capacity: 'owned' or 'rented'. Did you mean 'rented'?",
    ),
    "secret on the device": (
        recipient("§secret: env:KEY", "device"),
        "recipient 'x' is on the device: it takes no secret. Nothing on the device asks for a key.",
    ),
    "a secret in the file": (
        recipient("secret: §sk-proj-canary"),
        f"{NO_SECRET} A secret written into the file does not load.",
    ),
    "a secret that is a number": (
        recipient("secret: §123456"),
        "recipients.x.secret must be text, not a number. Put it in quotes.",
    ),
    "a secret of the home folder": (
        recipient("secret: §file:~/key"),
        "recipients.x.secret begins with ~. Write the whole path, or one relative to this file.",
    ),
    "a relative secret in no file": (
        recipient("secret: §file:keys/openai"),
        "recipients.x.secret is relative, and this policy stands in no file. Write the whole path.",
    ),
    "url without a scheme": (recipient("url: §models.example.org/v1"), NO_URL),
    "url with a user": (
        recipient('url: §"https://me:canary@models.example.org"'),
        "recipients.x.url holds a user or a password. Take it out, and say under secret: where the key is.",
    ),
    "url with a query": (
        recipient('url: §"https://models.example.org?key=canary"'),
        "recipients.x.url ends with its path. Take the query or fragment out.",
    ),
    "http to a partner": (
        recipient('url: §"http://models.example.org"'),
        "recipients.x.url would send what a partner gets unencrypted. Write https://; http:// is for localhost.",
    ),
    "region with a space": (
        recipient("region: §west europe"),
        "'west europe' cannot be a name in recipients.x.region: write 1 to 64 letters, digits, '_', '-' and '.'.",
    ),
    "retention is a number": (
        recipient("retention: §0"),
        "recipients.x.retention must be text, not a number. Put it in quotes.",
    ),
    "capability misspelt": (
        recipient("capabilities: [text, §tols]"),
        f"'tols' is not a value of recipients.x.capabilities: {CAPABILITIES}. Did you mean 'tools'?",
    ),
    "capabilities is text": (
        recipient("capabilities: §text"),
        "recipients.x.capabilities must be a list such as [text, tools], not text. Write [text].",
    ),
    "options is a list": (recipient("options: §[a]"), "recipients.x.options must be a mapping, not a list."),
    "a number beyond exactness in options": (
        recipient("options: {a: {b: [§99999999999999999]}}"),
        "a number in recipients.x.options must lie between -9007199254740992 and 9007199254740992.",
    ),
    "consent is another word": (
        flow("  - id: x\n    allow: {labels: [public], to: [device]}\n    consent: §yes"),
        "consent of flow rule 'x' can only be ask. Leave it out where nobody need be asked.",
    ),
    "consent is true where a partner is reached": (
        flow("  - id: x\n    allow: {labels: [public], to: [openai]}\n    consent: §true"),
        "consent of flow rule 'x' can only be ask. Write \"consent: ask\".",
    ),
    "consent of a place that is not declared": (
        bottom("consent: {§partnr: {per: ring}}"),
        "'partnr' is neither a ring nor declared under recipients:. Did you mean 'partner'?",
    ),
    "consent per": (
        bottom("consent: {openai: {per: §rings}}"),
        "'rings' is not a value of consent.openai.per: 'recipient' or 'ring'. Did you mean 'ring'?",
    ),
    "consent lasts": (
        bottom("consent: {partner: {lasts: §requst}}"),
        (
            "consent.partner.lasts must be request, session, or a time such as 12h or 30d, not 'requst'. "
            "Did you mean 'request'?"
        ),
    ),
    "consent for no time": (
        bottom("consent: {partner: {lasts: §0d}}"),
        "consent.partner.lasts must be more than nothing and at most ten years, 3650d.",
    ),
    "consent for a lifetime": (
        bottom("consent: {partner: {lasts: §3651d}}"),
        "consent.partner.lasts must be more than nothing and at most ten years, 3650d.",
    ),
    "consent in years": (
        bottom("consent: {partner: {lasts: §1y}}"),
        (
            "consent.partner.lasts must be request, session, or a time such as 12h or 30d, not '1y'. "
            "Its units are s, m, h, d and w: seconds, minutes, hours, days and weeks."
        ),
    ),
    "consent for a bare number": (
        bottom("consent: {partner: {lasts: §30}}"),
        "consent.partner.lasts must be request, session, or a time such as 12h or 30d, not a number.",
    ),
    "consent show": (
        bottom("consent: {partner: {show: [§label]}}"),
        "'label' is not a value of consent.partner.show: 'recipient', 'labels' or 'preview'. Did you mean 'labels'?",
    ),
    "consent when nobody can be asked": (
        bottom("consent: {partner: {when_no_ui: §allow}}"),
        "consent.partner.when_no_ui can only be deny, not 'allow'.",
    ),
    "unknown key in consent": (
        bottom("consent: {partner: {§last: request}}"),
        "unknown key 'last' in consent.partner. Did you mean 'lasts'?",
    ),
    "tool without a ring": (
        bottom("tools: {search: §{}}"),
        "key 'ring' in tools.search is missing. Write device, house or partner.",
    ),
    "tool on no ring": (
        bottom("tools: {search: {ring: §partners}}"),
        "'partners' is not a value of tools.search.ring: 'device', 'house' or 'partner'. Did you mean 'partner'?",
    ),
    "tool with a space": (
        bottom('tools: {§"web search": {ring: partner}}'),
        "'web search' cannot be the name of a tool: write 1 to 128 characters without a space.",
    ),
    "unknown key in a tool": (
        bottom("tools: {search: {ring: partner, §url: x}}"),
        "unknown key 'url' in tools.search. Write 'ring'.",
    ),
}


@pytest.mark.parametrize(("text", "message"), BEYOND_THE_DEVICE.values(), ids=BEYOND_THE_DEVICE)
def test_the_messages_for_what_lies_beyond_the_device(text: str, message: str) -> None:
    check(text, message)


MISTAKEN_FOR_A_KEY = (
    *("canary", "env:sk-canary", "env:", "env:1canary", "file:", "canary:canary", "https://canary", "CANARY=canary"),
    *("env: canary", "file", "“canary”", "canary " * 100),
)


@pytest.mark.parametrize("written", MISTAKEN_FOR_A_KEY)
def test_no_fault_repeats_what_stands_where_a_secret_is_named(written: str) -> None:
    plain, _ = marked(recipient(f'secret: "{written}"'))
    assert "recipients.x.secret" in " ".join(faults_of(plain))
    assert "canary" not in " ".join(faults_of(plain)).lower()


@pytest.mark.parametrize(
    "written",
    [
        *("canary", "ftp://canary", "https://", "https://canary@h", "https://h?canary", "https://h#canary", "//canary"),
        *("https://h/can ary", "https://[canary]", "https://h:canary", "https://h:0/canary", "https://canary..h/"),
        *("https://[::1]canary", "https://canary[::1]", "https://[::1%25canary]", "https://[::1].canary:1/"),
        *("https://-canary.h", "https://h\\canary", "https://canary%2e.h", "https://h:99999/canary", "https:canary"),
    ],
)
def test_no_fault_repeats_an_address(written: str) -> None:
    plain, _ = marked(recipient(f"url: '{written}'"))
    assert len(faults_of(plain)) == 1
    assert "canary" not in faults_of(plain)[0]


@pytest.mark.parametrize(("text", "message"), OURS.values(), ids=OURS)
def test_the_messages_of_the_loader(text: str, message: str) -> None:
    check(text, message)


def test_all_faults_are_reported_in_the_order_of_the_file() -> None:
    text = good(
        recipients=GOOD["recipients"].replace("ring: house", "ring: §hous"),
        unknown="unknown: §unclasified",
        flow="flow:\n  - id: x\n    allow: {labels: [§publc], to: [§hous]}\n    §redcat: mask",
        route="route:\n  - id: y\n    prefer: [§mlxx]",
    )
    plain, places = marked(text)
    assert [fault.split(": ")[0] for fault in faults_of(plain)] == [f"policy.yaml:{place}" for place in places]
    assert len(places) == 6


def test_a_missing_section_does_not_make_every_use_of_it_a_fault() -> None:
    assert faults_of(good(labels="")) == ["policy.yaml:1:1: key 'labels' is missing."]


def test_a_message_holds_no_control_character_and_no_endless_name() -> None:
    (fault,) = faults_of(good() + '\n"\\e[31m' + "x" * 1000 + '": 1')
    assert fault.isprintable()
    assert len(fault) < 150
