"""The picture of a policy: what is drawn, that it is sound XML whatever a file calls things, and never ambiguous."""

from __future__ import annotations

from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy import Policy, read_policy
from ringfence.policy.reach import Way, reached, ways
from ringfence.review.graph import as_document, graph, in_words
from ringfence.review.layout import FLAT, Box, lay_out
from ringfence.review.svg import cells, cut, safe

NAMESPACE = "{http://www.w3.org/2000/svg}"
HEAD = """version: 1
name: small
labels: {public: {}, contact: {}, secret: {}, unclassified: {}}
unknown: unclassified
"""
RECIPIENTS = """recipients:
  mlx: {ring: device, provider: mlx, model: tiny}
  own: {ring: house, provider: openai, model: big, url: "https://own.example/v1", retention: none}
  rented: {ring: house, provider: openai, model: big, url: "https://rented.example/v1"}
  out: {ring: partner, provider: openai, model: gpt}
  far: {ring: partner, provider: gemini, model: gemini}
"""
FLOW = """flow:
  - {id: a, allow: {labels: "*", to: [device]}}
  - {id: b, allow: {labels: [public, contact], to: [house]}}
  - {id: c, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: d, allow: {labels: [contact], to: [partner]}, redact: pseudonym, consent: ask}
  - {id: e, deny: {labels: [contact], to: [rented]}}
  - {id: f, deny: {labels: [public], to: [partner]}, when: {task: [rewrite]}}
"""
ROUTE = "route: [{id: all, prefer: [mlx]}]\n"


def policy(flow: str = FLOW, recipients: str = RECIPIENTS, head: str = HEAD) -> Policy:
    return read_policy(head + recipients + flow + ROUTE)


def texts(picture: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(picture).iter(f"{NAMESPACE}text")]


def lines(picture: str) -> dict[str, tuple[str, str]]:
    """What each line says of itself, with its colour and its kind."""
    found: dict[str, tuple[str, str]] = {}
    for group in ET.fromstring(picture).iter(f"{NAMESPACE}g"):
        path, title = group.find(f"{NAMESPACE}path"), group.find(f"{NAMESPACE}title")
        if path is not None and title is not None:
            found[title.text or ""] = (group.attrib["class"], path.attrib["class"])
    return found


def test_each_way_is_one_line_in_the_colour_of_its_ring() -> None:
    assert lines(graph(policy())) == {
        "public → mlx: always": ("rf-device", "rf-line"),
        "public → own: always": ("rf-house", "rf-line"),
        "public → rented: always": ("rf-house", "rf-line"),
        "public → out, far: under a condition, after consent": ("rf-partner", "rf-line rf-sometimes"),
        "contact → mlx: always": ("rf-device", "rf-line"),
        "contact → own: always": ("rf-house", "rf-line"),
        "contact → out, far: always, after consent, redacted by pseudonym": ("rf-partner", "rf-line"),
        "secret, unclassified → mlx: always": ("rf-device", "rf-line"),
    }


def test_what_is_denied_is_drawn_only_on_request() -> None:
    assert "denied" not in " ".join(lines(graph(policy())))
    found = lines(graph(policy(), denied=True))
    assert found["contact → rented: denied"] == ("rf-denied", "rf-line rf-cut")


def test_the_redaction_stands_at_its_line_and_the_consent_as_a_mark() -> None:
    found = texts(graph(policy()))
    assert found.count("pseudonym") == 1
    # One for each of the two lines to the partners, and one in the legend.
    assert found.count("?") == 3


def test_a_label_that_reaches_nothing_says_so_and_so_does_a_recipient() -> None:
    flow = "flow:\n  - {id: a, allow: {labels: [public], to: [device]}}\n"
    found = texts(graph(policy(flow)))
    assert found.count("reaches nothing") == 1
    assert found.count("nothing reaches it") == 2


def test_the_picture_says_in_words_what_it_shows() -> None:
    described = ET.fromstring(graph(policy())).findtext(f"{NAMESPACE}desc")
    assert described is not None
    assert (
        "contact may reach mlx (always), own (always), out (always, after consent, redacted by pseudonym)" in described
    )
    assert "secret may reach mlx (always)." in described


def test_the_same_policy_gives_the_same_picture_and_fetches_nothing() -> None:
    picture = graph(policy())
    assert picture == graph(policy())
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in picture
    assert "prefers-color-scheme:dark" in picture


def test_what_a_file_says_never_becomes_markup() -> None:
    hostile = '<b a="1">&amp;]]>'
    root = ET.fromstring(graph(policy(recipients=RECIPIENTS.replace("model: tiny", f"model: '{hostile}'"))))
    assert hostile in [text.text for text in root.iter(f"{NAMESPACE}text")]
    assert not list(root.iter(f"{NAMESPACE}b"))


@given(st.text())
def test_any_text_is_sound_xml(written: str) -> None:
    found = ET.fromstring(f"<t>{safe(written)}</t>").text or ""
    assert len(found) == len(written)
    assert not any(one < " " or one in "\u202e\u2066" for one in found)


@given(st.text(), st.integers(4, 40))
def test_a_cut_name_fits_and_a_short_one_is_whole(written: str, most: int) -> None:
    assert cells(cut(written, most)) <= most
    assert (cut(written, most) == written) == (cells(written) <= most)


def test_a_long_name_keeps_its_end_and_has_the_whole_as_its_title() -> None:
    name = "a-recipient-of-a-rather-long-name-17"
    picture = graph(policy(recipients=RECIPIENTS.replace("rented:", f"{name}:"), flow=FLOW.replace("rented", name)))
    (shown,) = [one for one in texts(picture) if one.endswith("17")]
    assert shown == "a-recipient-of-a-rath…ame-17"
    assert f"<title>{name}</title>" in picture


def many(count: int) -> Policy:
    rings = ("device", "house", "partner")
    recipients = "recipients:\n  mlx: {ring: device, provider: mlx, model: tiny}\n" + "".join(
        f"  r{index}: {{ring: {rings[index % 3]}, provider: p, model: m}}\n" for index in range(count)
    )
    denies = "".join(
        f"  - {{id: d{index}, deny: {{labels: [{'public' if index % 2 else 'contact'}], to: [r{index}]}}}}\n"
        for index in range(0, count, 3)
    )
    return policy(FLOW.replace("rented", "mlx").replace("  - {id: e,", "  - {id: e0,") + denies, recipients)


@pytest.mark.parametrize("count", [0, 3, 40])
def test_no_box_overlaps_another_and_no_two_lines_meet_where_their_words_stand(count: int) -> None:
    one = many(count)
    layout = lay_out(one.document, ways(one.document))
    boxes: list[Box] = [*layout.labels, *(box for band in layout.bands for box in band.boxes)]
    for left, right in combinations(boxes, 2):
        assert (
            left.y + left.height <= right.y or right.y + right.height <= left.y or left.x + left.width + FLAT < right.x
        ), (left, right)
    arrivals = sorted(line.to_y for line in layout.lines)
    assert all(after - before > 4 for before, after in pairwise(arrivals))
    assert layout.bottom >= max(box.y + box.height for box in boxes)


def test_the_picture_as_data() -> None:
    found = as_document(policy())
    assert found["policy"] == {"name": "small", "digest": policy().digest}
    labels = found["labels"]
    assert isinstance(labels, dict)
    assert labels["contact"]["out"] == {
        "reaches": "always",
        "consent": "always",
        "redacted": "always",
        "redact": ["pseudonym"],
    }
    assert "rented" not in labels["contact"]


# ---------------------------------------------------------------- ways

WAYS = {
    "one allow": (["{id: x, allow: {labels: [secret], to: [own]}}"], Way()),
    "a condition": (["{id: x, allow: {labels: [secret], to: [own]}, when: {task: [rewrite]}}"], Way(conditional=True)),
    "a deny with a condition": (
        [
            "{id: x, allow: {labels: [secret], to: [own]}}",
            "{id: y, deny: {labels: [secret], to: [own]}, when: {task: [rewrite]}}",
        ],
        Way(conditional=True),
    ),
    "a deny": (
        ["{id: x, allow: {labels: [secret], to: [own]}}", '{id: y, deny: {labels: "*", to: [house]}}'],
        Way(denied=True),
    ),
    "one of two asks": (
        [
            "{id: x, allow: {labels: [secret], to: [own]}}",
            "{id: y, allow: {labels: [secret], to: [own]}, consent: ask}",
        ],
        Way(consent="always"),
    ),
    "one of two asks, at times": (
        [
            "{id: x, allow: {labels: [secret], to: [own]}}",
            "{id: y, allow: {labels: [secret], to: [own]}, consent: ask, when: {task: [rewrite]}}",
        ],
        Way(consent="sometimes"),
    ),
    "the strictest of two": (
        [
            "{id: x, allow: {labels: [secret], to: [own]}, redact: remove}",
            "{id: y, allow: {labels: [secret], to: [own]}, redact: mask, when: {task: [rewrite]}}",
        ],
        Way(redacted="always", kinds=("remove",)),
    ),
    "one or the other": (
        [
            "{id: x, allow: {labels: [secret], to: [own]}, redact: mask}",
            "{id: y, allow: {labels: [secret], to: [own]}, redact: remove, when: {task: [rewrite]}}",
        ],
        Way(redacted="always", kinds=("mask", "remove")),
    ),
    "a requirement that is not met": (
        ["{id: x, allow: {labels: [secret], to: [own]}, require: {region: eu}}"],
        None,
    ),
}


@pytest.mark.parametrize(("rules", "way"), WAYS.values(), ids=WAYS)
def test_a_way_is_what_the_rules_leave_of_it(rules: list[str], way: Way | None) -> None:
    document = policy(FLOW + "".join(f"  - {rule}\n" for rule in rules)).document
    assert ways(document)["secret"].get("own") == way
    assert ("own" in reached(document)["secret"]) == (way is not None and not way.denied)


def test_a_way_in_words() -> None:
    way = Way(conditional=True, consent="sometimes", redacted="sometimes", kinds=("mask", "remove"))
    assert in_words(way) == "under a condition, sometimes consent, sometimes redacted by mask or remove"
