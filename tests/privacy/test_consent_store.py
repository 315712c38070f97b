"""The consent store: what a yes covers, that a revocation counts at once everywhere, and that faults mean no."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import InvalidRequest, StoreError
from ringfence.policy.decision import REDACTIONS, ConsentRule
from ringfence.privacy.consent_record import ConsentRecord, Wanted, usable
from ringfence.privacy.consent_seal import KEY_FILE
from ringfence.privacy.consent_store import FILE, ConsentStore

RULE = ConsentRule(lasts=3600)
WANTED = Wanted(recipient="openai", identity="d1", task="rewrite", labels=("public",), redact={})


def record(**changes: Any) -> ConsentRecord:
    """A yes of this moment for an hour, but for `changes`."""
    now = time.time()
    given: dict[str, Any] = {
        "recipient": "openai",
        "ring": "partner",
        "labels": ("contact", "public"),
        "task": "rewrite",
        "policy": "acme",
        "policy_digest": "sha256:1",
        "covered": {"openai": "d1"},
        "shown": RULE.show,
        "given_at": now,
        "expires_at": now + 3600,
        "lasts": "stored",
        **changes,
    }
    return ConsentRecord(**given)


def find(store: ConsentStore, wanted: Wanted = WANTED, **how: Any) -> ConsentRecord | None:
    given: dict[str, Any] = {"policy": "acme", "tenant": None, "rule": RULE, **how}
    return store.find(wanted, **given)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConsentStore]:
    made = ConsentStore(tmp_path / "state")
    yield made
    made.close()


# ------------------------------------------------------------------ what a yes covers
def test_a_yes_is_found_as_it_was_given_also_by_another_process(store: ConsentStore, tmp_path: Path) -> None:
    yes = record(redact={"contact": "mask"}, tenant="t", per="ring", covered={"openai": "d1", "gemini": "d2"})
    store.add(yes)
    other = ConsentStore(tmp_path / "state")
    assert find(other, tenant="t") == yes
    assert other.holds(yes)
    other.close()


@pytest.mark.parametrize(
    ("wanted", "how"),
    [
        ({"recipient": "gemini"}, {}),
        ({"identity": "d2"}, {}),
        ({"task": "extract"}, {}),
        ({"labels": ("public", "health")}, {}),
        ({}, {"policy": "another"}),
        ({}, {"tenant": "somebody"}),
        ({}, {"rule": ConsentRule(lasts="request")}),
        ({}, {"rule": ConsentRule(lasts="session")}),
        ({}, {"rule": ConsentRule(lasts=-1)}),
    ],
    ids=str,
)
def test_it_covers_nothing_else(store: ConsentStore, wanted: dict[str, Any], how: dict[str, Any]) -> None:
    store.add(record())
    assert find(store) is not None
    assert find(store, replace(WANTED, **wanted), **how) is None


def test_a_yes_with_a_tenant_is_none_without(store: ConsentStore) -> None:
    store.add(record(tenant="t"))
    assert find(store) is None
    assert find(store, tenant="t") is not None


def test_a_yes_for_a_ring_covers_the_others_of_it_only_while_the_policy_asks_by_ring(store: ConsentStore) -> None:
    store.add(record(per="ring", covered={"openai": "d1", "gemini": "d2"}))
    gemini = replace(WANTED, recipient="gemini", identity="d2")
    assert find(store, gemini, rule=ConsentRule(lasts=3600, per="ring")) is not None
    assert find(store, gemini) is None
    assert find(store) is not None


@pytest.mark.parametrize(("then", "now"), list(itertools.product([None, *REDACTIONS], repeat=2)))
def test_what_was_agreed_to_redacted_never_goes_out_redacted_less(store: ConsentStore, then: Any, now: Any) -> None:
    strength = [None, *REDACTIONS]
    store.add(record(redact={} if then is None else {"public": then}))
    found = find(store, replace(WANTED, redact={} if now is None else {"public": now}))
    assert (found is not None) == (strength.index(now) >= strength.index(then))


_LABELS = st.frozensets(st.sampled_from(["public", "contact", "health", "work"]))


@given(given_for=_LABELS, asked=_LABELS, more=_LABELS)
def test_one_more_label_never_makes_a_yes_cover_more(
    given_for: frozenset[str], asked: frozenset[str], more: frozenset[str]
) -> None:
    yes = record(labels=tuple(given_for))
    covers = yes.covers(replace(WANTED, labels=tuple(asked)))
    assert covers == (asked <= given_for)
    assert covers or not yes.covers(replace(WANTED, labels=tuple(asked | more)))


# ------------------------------------------------------------------ time
@given(given_at=st.floats(0, 100), lasts=st.integers(1, 100), now=st.floats(-50, 300))
def test_a_yes_holds_from_when_it_was_given_until_before_it_expires(given_at: float, lasts: int, now: float) -> None:
    yes = record(given_at=given_at, expires_at=given_at + lasts)
    holds = usable(yes, WANTED, policy="acme", tenant=None, rule=ConsentRule(lasts=lasts), now=now)
    assert holds == (given_at <= now < given_at + lasts)


def test_a_rule_that_became_shorter_shortens_what_was_given(store: ConsentStore) -> None:
    store.add(record(given_at=time.time() - 60))
    assert find(store, rule=ConsentRule(lasts=61)) is not None
    assert find(store, rule=ConsentRule(lasts=59)) is None


@pytest.mark.parametrize("looked", ["find", "holds"])
def test_one_that_was_seen_to_be_over_stays_over_when_the_clock_goes_back(
    store: ConsentStore, monkeypatch: pytest.MonkeyPatch, looked: str
) -> None:
    yes = record()
    store.add(yes)
    monkeypatch.setattr(time, "time", lambda: yes.given_at + 4000)
    if looked == "find":
        assert find(store) is None
    else:
        assert not store.holds(yes)
    monkeypatch.setattr(time, "time", lambda: yes.given_at + 10)
    assert find(store) is None
    assert not store.holds(yes)
    assert store.list() == ()
    (seen,) = store.list(ended=True)
    assert seen.state(yes.given_at + 10) == "expired"


def test_one_that_was_given_in_the_future_does_not_hold(store: ConsentStore) -> None:
    now = time.time()
    store.add(record(given_at=now + 100, expires_at=now + 200))
    assert find(store) is None


# ------------------------------------------------------------------ revoking
def test_what_is_revoked_by_id_by_recipient_or_altogether(store: ConsentStore) -> None:
    one, two, three = record(), record(), record(recipient="gemini", covered={"gemini": "d2", "openai": "d1"})
    for yes in (one, two, three):
        store.add(yes)
    assert store.revoke() == 0
    assert store.revoke(one.id) == 1
    assert [store.holds(yes) for yes in (one, two, three)] == [False, True, True]
    assert store.revoke(recipient="gemini") == 1
    assert [store.holds(yes) for yes in (one, two, three)] == [False, True, False]
    assert store.revoke(one.id, everything=True) == 1
    assert store.list() == ()
    assert [yes.state(time.time()) for yes in store.list(ended=True)] == ["revoked"] * 3
    assert find(store) is None


def test_an_id_that_no_yes_has_revokes_nothing(store: ConsentStore) -> None:
    with pytest.raises(InvalidRequest, match="there is no consent 'x'"):
        store.revoke("x")
    store.add(yes := record())
    with pytest.raises(InvalidRequest):
        store.revoke("x", yes.id)
    assert store.holds(yes)


def test_revoking_where_nothing_was_ever_stored_makes_no_file(store: ConsentStore, tmp_path: Path) -> None:
    assert store.revoke(everything=True) == 0
    assert store.list() == ()
    assert find(store) is None
    assert not store.holds(record())
    assert not (tmp_path / "state").exists()


def test_whoever_looks_after_a_revocation_returned_never_sees_the_yes_hold(store: ConsentStore, tmp_path: Path) -> None:
    """Readers in other threads, with connections of their own, against one that gives and takes back."""
    wrong: list[str] = []
    current: list[tuple[ConsentRecord, threading.Event]] = []
    over = threading.Event()

    def look() -> None:
        mine = ConsentStore(tmp_path / "state")
        while not over.is_set():
            if current:
                yes, revoked = current[-1]
                returned = revoked.is_set()
                if mine.holds(yes) and returned:
                    wrong.append(yes.id)
        mine.close()

    store.add(record())
    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        yes, revoked = record(), threading.Event()
        store.add(yes)
        current.append((yes, revoked))
        store.revoke(yes.id)
        revoked.set()
        time.sleep(0.002)
    over.set()
    for reader in readers:
        reader.join()
    assert wrong == []


# ------------------------------------------------------------------ the file
def test_only_its_owner_can_read_it_and_it_holds_no_tenant(store: ConsentStore, tmp_path: Path) -> None:
    store.add(record())
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state" / KEY_FILE).stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [FILE, KEY_FILE]


def test_a_file_that_was_moved_away_holds_for_nobody(store: ConsentStore, tmp_path: Path) -> None:
    store.add(yes := record())
    assert store.holds(yes)
    (tmp_path / "state" / FILE).rename(tmp_path / "away")
    assert not store.holds(yes)
    assert find(store) is None
    store.add(again := record())
    assert store.holds(again)
    assert not store.holds(yes)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"\0" * 5000, None], ids=["text", "zeros", "page"])
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    first = ConsentStore(tmp_path)
    for _ in range(20):
        first.add(record())
    first.close()
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096) if content is None else content)
    store = ConsentStore(tmp_path)
    for use in (lambda: find(store), store.list, lambda: store.add(record()), lambda: store.revoke(everything=True)):
        with pytest.raises(StoreError, match=r"consent store in .* is damaged .try: move consent.db away"):
            use()
    store.close()


def test_rows_that_nobody_of_ours_wrote_are_damage(tmp_path: Path) -> None:
    store = ConsentStore(tmp_path)
    store.add(record())
    store.close()
    with sqlite3.connect(tmp_path / FILE) as raw:
        raw.execute("UPDATE consents SET labels='{'")
    raw.close()
    with pytest.raises(StoreError, match="is damaged"):
        find(store)
    store.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / FILE)
    raw.execute("PRAGMA user_version=2")
    raw.close()
    with pytest.raises(StoreError, match="newer version"):
        ConsentStore(tmp_path).add(record())


@pytest.mark.parametrize("there", ["link", "folder", "pipe"])
def test_whatever_else_stands_in_its_place_is_not_used(tmp_path: Path, there: str) -> None:
    path = tmp_path / FILE
    if there == "link":
        (tmp_path / "elsewhere").touch()
        path.symlink_to(tmp_path / "elsewhere")
    elif there == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    store = ConsentStore(tmp_path)
    uses: list[Callable[[], object]] = [lambda: find(store), lambda: store.add(record())]
    for use in uses:
        with pytest.raises(StoreError, match="no regular file"):
            use()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    store = ConsentStore(tmp_path)
    store.add(yes := record())
    (tmp_path / FILE).chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        other = ConsentStore(tmp_path)
        assert find(other) == yes
        with pytest.raises(StoreError, match="cannot be opened or written"):
            other.revoke(yes.id)
        other.close()
    finally:
        tmp_path.chmod(0o700)


def _run(program: str, tmp_path: Path, **how: Any) -> subprocess.CompletedProcess[str]:
    code = f"import tests.privacy.test_consent_store as t\nfrom pathlib import Path\nfolder = Path({str(tmp_path)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", code + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
        **how,
    )


def test_a_full_disk_is_an_error_and_what_was_given_before_still_holds(store: ConsentStore, tmp_path: Path) -> None:
    store.add(yes := record())
    size = (tmp_path / "state" / FILE).stat().st_size
    done = _run(
        """
        store = t.ConsentStore(folder / "state")
        try:
            for _ in range(500):
                store.add(t.record())
        except t.StoreError as error:
            print(error)
        """,
        tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, size + 20_000)),
    )
    assert "no room" in done.stdout, done.stderr
    assert store.holds(yes)
    store.add(after := record())
    assert store.holds(after)


def test_a_process_killed_in_the_middle_of_a_revocation_leaves_all_or_nothing(
    store: ConsentStore, tmp_path: Path
) -> None:
    for _ in range(5):
        store.add(record())
    done = _run(
        """
        import os, signal
        store = t.ConsentStore(folder / "state")
        def die(into):
            into.execute("UPDATE consents SET revoked_at=1")
            into.execute("PRAGMA cache_spill=1")
            os.kill(os.getpid(), signal.SIGKILL)
        store.file.write(die)
        """,
        tmp_path,
    )
    assert done.returncode == -signal.SIGKILL
    assert len(store.list()) == 5
    assert store.revoke(everything=True) == 5


def test_a_forked_child_opens_a_connection_of_its_own(store: ConsentStore) -> None:
    store.add(yes := record())
    child = os.fork()
    if child == 0:
        os._exit(0 if store.holds(yes) and store.revoke(yes.id) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not store.holds(yes)
