"""`ringfence report`: what went where, in the terminal, as JSON and as a page, and never more than the log holds."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ringfence.cli.report.page import html_page
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.audit.summary import REFUSED, Summary, summarize
from ringfence.receipt import Attempt, Receipt

Run = Callable[..., "tuple[int, str, str]"]


def _attempt(recipient: str, ring: str, error: str | None = None, phase: str | None = None) -> Attempt:
    return Attempt(recipient=recipient, ring=ring, duration_s=0.1, error=error, phase=phase)


def _at(receipt: Receipt, recipient: str, ring: str, *earlier: Attempt, **changes: object) -> Receipt:
    attempts = (*earlier, _attempt(recipient, ring))
    return replace(receipt, recipient=recipient, ring=ring, attempts=attempts, **changes)  # type: ignore[arg-type]


def _summary(folder: Path, *receipts: Receipt) -> Summary:
    log = AuditLog(folder)
    for receipt in receipts:
        log.append(receipt)
    now_s = time.time()
    return summarize(log.records(), since_s=now_s - 86_400, until_s=now_s)


def test_a_request_counts_for_the_outermost_ring_that_it_reached(folder: Path, receipt: Receipt) -> None:
    failed = _attempt("openai", "partner", "Overloaded", "before_first_event")
    summary = _summary(folder, _at(receipt, "mlx", "device", failed), _at(receipt, "mlx", "device"))
    assert summary.rings == {"partner": 1, "device": 1}
    assert {place.name: (place.requests, place.failed) for place in summary.recipients()} == {
        "openai": (1, 1),
        "mlx": (2, 0),
    }


@pytest.mark.parametrize(
    ("error", "phase", "reached"),
    [
        ("Unavailable", "plan", False),
        ("ConnectFailed", "connect", False),
        ("ConsentRefused", None, False),
        ("RateLimited", "before_first_event", True),
        ("StreamBroken", "mid_stream", True),
    ],
)
def test_an_attempt_that_cannot_have_sent_reached_nobody(
    error: str, phase: str | None, reached: bool, folder: Path, receipt: Receipt
) -> None:
    failed = replace(receipt, outcome="failed", input_bytes=0, attempts=(_attempt("openai", "partner", error, phase),))
    assert _summary(folder, failed).rings == ({"partner": 1} if reached else {REFUSED: 1})


def test_a_refused_request_reached_nobody(folder: Path, receipt: Receipt) -> None:
    denied = replace(receipt, outcome="denied", ring=None, recipient=None, attempts=())
    summary = _summary(folder, denied)
    assert summary.rings == {REFUSED: 1}
    assert not summary.places


def test_labels_are_counted_by_ring(folder: Path, receipt: Receipt) -> None:
    summary = _summary(
        folder,
        _at(receipt, "openai", "partner", labels=("public",)),
        _at(receipt, "mlx", "device", labels=("contact", "public")),
    )
    assert summary.labels() == {"contact": {"device": 1}, "public": {"partner": 1, "device": 1}}


def test_every_day_has_its_place_also_one_without_requests(receipt: Receipt) -> None:
    summary = summarize([], since_s=time.time() - 6 * 86_400, until_s=time.time())
    assert len(summary.days) == 7


def test_a_record_of_another_version_is_counted_and_harms_nothing(folder: Path, receipt: Receipt) -> None:
    log = AuditLog(folder)
    log.append(receipt)
    broken = [replace(record, receipt={"outcome": 3}) for record in log.records()]
    summary = summarize(broken, since_s=0, until_s=1)
    assert summary.unreadable == 1
    assert summary.requests == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"input_bytes": "many"},
        {"labels": None},
        {"policy": ...},
        {"redactions": {"email": None}},
        {"input_tokens": 1e999},
    ],
    ids=["bytes", "labels", "policy", "redactions", "tokens"],
)
def test_a_record_that_cannot_be_read_to_its_end_adds_nothing(
    folder: Path, receipt: Receipt, changed: dict[str, object]
) -> None:
    log = AuditLog(folder)
    log.append(_at(receipt, "openai", "partner"))
    (whole,) = log.records()
    known = {name: value for name, value in {**whole.receipt, **changed}.items() if value is not ...}
    alone = summarize([whole], since_s=0, until_s=1)
    both = summarize([replace(whole, receipt=known), whole], since_s=0, until_s=1)
    assert both.unreadable == 1
    assert both.as_dict() == {**alone.as_dict(), "unreadable": 1}


class _Page(HTMLParser):
    """What a page would load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(summary: Summary, folder: Path) -> _Page:
    page = _Page()
    page.feed(html_page(summary, AuditLog(folder).verify()))
    return page


def test_the_page_loads_nothing_and_runs_nothing(folder: Path, receipt: Receipt) -> None:
    page = _page(_summary(folder, _at(receipt, "openai", "partner", labels=("public",))), folder)
    assert not page.loads
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "form", "img"}
    assert "openai" in page.text
    assert "1 went to partners" in page.text


def test_a_forged_record_cannot_put_markup_on_the_page(folder: Path, receipt: Receipt) -> None:
    evil = "<script>alert(1)</script>"
    summary = _summary(folder, _at(receipt, evil, "partner", labels=(evil,), task=evil, provider=evil, model=evil))
    assert "script" not in _page(summary, folder).tags


def test_a_partner_that_failed_before_a_fallback_is_listed(folder: Path, receipt: Receipt) -> None:
    failed = _attempt("openai", "partner", "Overloaded", "before_first_event")
    page = _page(_summary(folder, _at(receipt, "mlx", "device", failed)), folder)
    assert re.search(r"Requests to partners.*openai", page.text, re.DOTALL)


# ------------------------------------------------------------ the command


@pytest.fixture
def written(folder: Path, receipt: Receipt) -> Path:
    log = AuditLog(folder)
    log.append(_at(receipt, "openai", "partner", labels=("public",), consented=True, cost_usd=0.0125))
    log.append(_at(receipt, "mlx", "device"))
    log.close()
    return folder


def _run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    from ringfence.cli.root import root

    with pytest.raises(SystemExit) as ended:
        root.main(list(arguments))
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_the_report_says_what_went_where(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run("report", "--log", str(written), capsys=capsys)
    assert code == 0
    assert "2 requests – 1 stayed on this device, 1 went to partners" in out
    assert re.search(r"openai\s+partner\s+1\s+public 1\s+1", out)
    assert "$0.0125" in out
    assert "the log is whole: 2 records verified" in err


def test_json_is_one_document(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run("report", "--json", "--log", str(written), capsys=capsys)
    document = json.loads(out)
    assert code == 0
    assert document["rings"] == {"device": 1, "house": 0, "partner": 1, "refused": 0}
    assert document["verified"]["ok"] is True


def test_a_log_that_does_not_verify_says_so_and_fails(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = written / "audit.jsonl"
    records.write_bytes(records.read_bytes().replace(b"openai", b"gemini"))
    code, _, err = _run("report", "--log", str(written), "--html", str(written / "page.html"), capsys=capsys)
    assert code == 1
    assert "NOT whole" in err
    assert "NOT whole" in (written / "page.html").read_text()


def test_the_page_is_for_its_owner_alone(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    code, _, err = _run("report", "--log", str(written), "--html", str(page), capsys=capsys)
    assert code == 0
    assert str(page) in err
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_page_that_cannot_be_written_names_the_option_of_this_command(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "no" / "page.html"
    code, _, err = _run("report", "--log", str(written), "--html", str(page), capsys=capsys)
    assert code == 2
    assert "try: name another file with --html" in err


@pytest.mark.parametrize("span", ["7", "0d", "week", "-1d", "1y"])
def test_a_span_that_is_none_is_wrong_usage(span: str, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run("report", "--since", span, "--log", str(written), capsys=capsys)
    assert code == 2
    assert "12h, 7d or 4w" in err


def test_without_a_log_the_way_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run("report", "--log", str(tmp_path / "none"), capsys=capsys)
    assert code == 2
    assert "there is no audit log" in err


def test_an_export_has_the_shape_of_apples_report(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run("audit", "export", "--format", "report", "--log", str(written), capsys=capsys)
    report = json.loads(out)
    assert code == 0
    assert [one["executionEnvironment"] for one in report["modelRequests"]] == ["Partner", "OnDevice"]
    assert not {"prompt", "response"} & report["modelRequests"][0].keys()
    assert report["privateCloudComputeRequests"] == []


def test_a_house_request_is_among_the_private_compute_ones(
    folder: Path, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    AuditLog(folder).append(_at(receipt, "own-dc", "house", attestation_digest="sha256:ab"))
    _, out, _ = _run("audit", "export", "--format", "report", "--log", str(folder), capsys=capsys)
    assert json.loads(out)["privateCloudComputeRequests"][0]["nodes"][0]["attestationDigest"] == "sha256:ab"


_ATTESTED = {"apple-mda": "Validated", "DEVELOPMENT (software-dev)": "DEVELOPMENT"}


@pytest.mark.parametrize(("attestation", "state"), _ATTESTED.items())
def test_a_development_machine_is_never_called_validated(
    attestation: str, state: str, folder: Path, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    house = _at(receipt, "own-dc", "house", attestation_digest="sha256:ab", attestation=attestation)
    summary = _summary(folder, house)
    _, out, _ = _run("audit", "export", "--format", "report", "--log", str(folder), capsys=capsys)
    (node,) = json.loads(out)["privateCloudComputeRequests"][0]["nodes"]
    assert (node["nodeState"], node["attestation"]) == (state, attestation)
    _, out, _ = _run("report", "--log", str(folder), capsys=capsys)
    assert ("house DEVELOPMENT" in out) == (state == "DEVELOPMENT")
    _, out, _ = _run("report", "--json", "--log", str(folder), capsys=capsys)
    assert json.loads(out)["recipients"][0]["attestations"] == {attestation: 1}
    assert f"{attestation} 1" in _page(summary, folder).text


def test_a_house_that_proved_nothing_has_no_node(
    folder: Path, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = _attempt("own-dc", "house", "AttestationFailed", "connect")
    AuditLog(folder).append(
        replace(receipt, outcome="failed", recipient="own-dc", ring="house", input_bytes=0, attempts=(failed,))
    )
    _, out, _ = _run("audit", "export", "--format", "report", "--log", str(folder), capsys=capsys)
    report = json.loads(out)
    assert report["privateCloudComputeRequests"][0]["nodes"] == []
    assert report["modelRequests"][0]["executionEnvironment"] is None
