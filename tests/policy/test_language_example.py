"""The complete example of the policy language: it loads, from YAML and from TOML, and says what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ringfence.policy import Document, Facts, Policy, check_file, load_policy
from ringfence.policy.conditions import FactIn, Range, TaskIn, TokensIn
from ringfence.policy.decision import ConsentRule
from ringfence.policy.document import AuditRule, Budget, Expected, Invariant, Overflow, TestRequest

EXAMPLE = Path(__file__).parents[2] / "examples" / "policies" / "acme-assistant.yaml"
ROOT = b'{"signed": {}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that the example names."""
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "house-root.json").write_bytes(ROOT)
    return tmp_path


@pytest.fixture
def policy(folder: Path) -> Policy:
    return load_policy(folder / "acme-assistant.yaml")


@pytest.fixture
def document(policy: Policy) -> Document:
    return policy.document


def test_the_example_has_no_fault(folder: Path) -> None:
    assert check_file(folder / "acme-assistant.yaml").fault_lines == ()


def test_the_example_needs_its_root_of_trust(folder: Path) -> None:
    (folder / "trust" / "house-root.json").unlink()
    faults = check_file(folder / "acme-assistant.yaml").fault_lines
    assert [fault.partition(": ")[2] for fault in faults] == [
        f"recipients.{name}.trust names the file 'trust/house-root.json', which is not there."
        for name in ("own-dc", "rented-gpu")
    ]


def test_its_recipients(policy: Policy, folder: Path) -> None:
    rented = policy.recipients["rented-gpu"]
    assert (rented.capacity, rented.min_tier) == ("rented", "apple-mda")
    assert rented.directory == "https://overflow.acme.example"
    assert rented.trust == str(folder.resolve() / "trust" / "house-root.json")


def test_its_flow(document: Document) -> None:
    rules = {rule.id: rule for rule in document.flow}
    assert {name: rule.redact for name, rule in rules.items() if rule.redact} == {
        "house-no-secrets": "remove",
        "partner-pseudonymous": "pseudonym",
    }
    assert rules["no-partner-for-minors"].when == FactIn("user.age_band", frozenset({"minor"}))


def test_its_consent_budgets_and_record(document: Document) -> None:
    assert document.consent == {"partner": ConsentRule(show=("recipient", "labels", "preview"))}
    assert document.budgets == (
        Budget(id="partner-month", of=frozenset({"partner"}), limit=500, unit="USD", per="month"),
    )
    assert document.audit == AuditRule(keep_s=400 * 86_400)


def test_its_overflow(document: Document) -> None:
    assert [route.overflow for route in document.route] == [
        None,
        Overflow(to=("rented-gpu",), over=0.85),
        None,
        None,
    ]


def test_its_invariants_as_data_and_in_words(document: Document) -> None:
    assert document.invariants == (
        Invariant(kind="never", labels=frozenset({"health"}), to=frozenset({"partner"})),
        Invariant(
            kind="never", labels=frozenset({"credentials"}), to=frozenset({"house", "partner"}), unless_redacted=True
        ),
        Invariant(kind="consent", to=frozenset({"partner"})),
        Invariant(
            kind="only",
            tasks=frozenset({"notification_summary"}),
            to=frozenset({"device"}),
            when=TokensIn(Range(max=1500)),
        ),
    )
    assert [invariant.text for invariant in document.invariants] == [
        "never health to partner",
        "never credentials to house or partner unless redacted",
        "consent before partner",
        "only device for notification_summary, when input_tokens max 1500",
    ]


def test_its_tests(document: Document) -> None:
    first, second, _ = document.tests
    assert first.name == "a card number never reaches a partner"
    assert first.expect == Expected(labels=frozenset({"financial"}), never=frozenset({"partner"}))
    assert second.request == TestRequest(text="How tall is Mount Fuji?", values={"user.age_band": "adult"})
    assert second.expect == Expected(
        plan=("own-dc", "openai", "gemini", "mlx"), consent=frozenset({"openai", "gemini"})
    )


def test_it_decides(policy: Policy) -> None:
    facts = Facts(
        task="open_question",
        labels=frozenset({"public"}),
        input_tokens=8,
        values={"user.age_band": "adult"},
    )
    assert [step.recipient for step in policy.decide(facts).plan] == ["own-dc", "openai", "gemini", "mlx"]


TOML = """
version = 1
name = "acme-assistant"
unknown = "unclassified"
clean = "public"

[recipients]
mlx = { ring = "device", provider = "mlx", model = "smollm2-135m-instruct" }
openai = { ring = "partner", provider = "openai", model = "gpt-5.2", region = "us" }
gemini = { ring = "partner", provider = "gemini", model = "gemini-3-flash", region = "us" }

[recipients.own-dc]
ring = "house"
provider = "house"
model = "acme-server-8b"
capacity = "owned"
retention = "none"
directory = "https://house.acme.example"
trust = "trust/house-root.json"
min_tier = "apple-mda"

[recipients.rented-gpu]
ring = "house"
provider = "house"
model = "acme-server-8b"
capacity = "rented"
retention = "none"
directory = "https://overflow.acme.example"
trust = "trust/house-root.json"
min_tier = "apple-mda"

[facts]
"user.age_band" = { type = "enum", values = ["adult", "minor"] }

[labels]
public = {}
contact = { detect = ["email", "phone"] }
identity = { detect = ["zh_person_name", "cn_resident_id", "us_ssn", "passport"] }
financial = { detect = ["credit_card", "iban"] }
credentials = { detect = ["secret"] }
health = { declare = true }
work = { declare = true }
unclassified = {}

[tools]
create_event = { ring = "device" }
web_search = { ring = "partner" }

[[flow]]
id = "device-any"
allow = { labels = "*", to = ["device"] }

[[flow]]
id = "house-most"
allow = { labels = ["public", "contact", "identity", "financial", "health", "work", "unclassified"], to = ["house"] }
require = { attested = true, retention = "none" }

[[flow]]
id = "house-no-secrets"
allow = { labels = ["credentials"], to = ["house"] }
require = { attested = true, retention = "none" }
redact = "remove"

[[flow]]
id = "rented-not-work"
deny = { labels = ["work"], to = ["rented-gpu"] }
reason = "The contract forbids customer material on rented capacity."

[[flow]]
id = "partner-public"
allow = { labels = ["public"], to = ["partner"] }
consent = "ask"

[[flow]]
id = "partner-pseudonymous"
allow = { labels = ["contact", "identity"], to = ["partner"] }
redact = "pseudonym"
consent = "ask"

[[flow]]
id = "partner-never"
deny = { labels = ["health", "credentials", "financial", "unclassified"], to = ["partner"] }
reason = "Special-category and secret data stay inside."

[[flow]]
id = "no-partner-for-minors"
deny = { labels = "*", to = ["partner"] }
when = { "user.age_band" = ["minor"] }

[consent.partner]
per = "recipient"
lasts = "request"
show = ["recipient", "labels", "preview"]
when_no_ui = "deny"

[[route]]
id = "simple-on-device"
when = { task = ["notification_summary", "smart_reply", "proofread"], input_tokens = { max = 1500 } }
prefer = ["mlx"]
fallback = "none"

[[route]]
id = "heavy-to-house"
prefer = ["own-dc"]
overflow = { to = ["rented-gpu"], when_utilisation_over = 0.85 }
fallback = ["mlx"]
[[route.when.any]]
task = ["article_summary", "email_reply"]
input_tokens = { over = 1500 }
[[route.when.any]]
modality = ["image"]

[[route]]
id = "world-knowledge"
when = { task = ["open_question"] }
prefer = ["own-dc", "openai", "gemini"]
fallback = ["mlx"]
on_broken_stream = "restart"

[[route]]
id = "otherwise"
prefer = ["mlx", "own-dc"]

[[budgets]]
id = "partner-month"
of = "partner"
limit = "500 USD"
per = "month"
when_spent = "deny"

[audit]
content = "none"
keep = "400d"

[[invariants]]
never = { labels = ["health"], to = ["partner"] }

[[invariants]]
never = { labels = ["credentials"], to = ["house", "partner"], unless = "redacted" }

[[invariants]]
consent = { to = ["partner"] }

[[invariants]]
only = { task = ["notification_summary"], to = ["device"], when = { input_tokens = { max = 1500 } } }

[[tests]]
name = "a card number never reaches a partner"
request = { task = "open_question", text = "Is 4111 1111 1111 1111 a valid card?" }
expect = { labels = ["financial"], never = ["partner"] }

[[tests]]
name = "plain question may go out, with consent"
request = { task = "open_question", text = "How tall is Mount Fuji?", user = { age_band = "adult" } }
expect = { plan = ["own-dc", "openai", "gemini", "mlx"], consent = ["openai", "gemini"] }

[[tests]]
name = "nobody vouched for the age, so no partner"
request = { task = "open_question", text = "How tall is Mount Fuji?" }
expect = { never = ["partner"] }
"""


def test_the_example_in_toml_is_the_same_policy(folder: Path, policy: Policy) -> None:
    (folder / "example.toml").write_text(TOML, encoding="utf-8")
    from_toml = load_policy(folder / "example.toml")
    assert from_toml.document == policy.document
    assert from_toml.digest == policy.digest


MISTAKES = {
    "limit": ('limit = "500 USD"', "limit = 500"),
    "keep": ('keep = "400d"', "keep = 400"),
    "a test's plan": ('plan = ["own-dc", ', 'plan = ["own-cd", '),
    "an invariant": ('consent = { to = ["partner"] }', 'consent = { to = ["partnr"] }'),
}


@pytest.mark.parametrize(("good", "bad"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_new_sections_of_toml_has_its_line(folder: Path, good: str, bad: str) -> None:
    text = TOML.replace(good, bad)
    line = next(number for number, one in enumerate(text.splitlines(), start=1) if bad in one)
    (folder / "example.toml").write_text(text, encoding="utf-8")
    (fault,) = check_file(folder / "example.toml").faults
    assert (fault.at.line, fault.at.column) == (line, None)


def test_the_conditions_of_the_example_are_data(document: Document) -> None:
    assert TaskIn(frozenset({"open_question"})) == document.route[2].when
