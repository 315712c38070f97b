"""What it costs a client to verify a house. CPU time, medians of rounds."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

from tests.benchmarks.clock import cpu_s, median, take_turns
from tests.benchmarks.row import Row
from tests.benchmarks.setting import Setting

from ringfence_house.attestation.development import SoftwareDev
from ringfence_house.attestation.trust import read_trust
from ringfence_house.attestation.verify import verify_directory
from ringfence_house.releases.faults import Missing
from ringfence_house.releases.reader import ReleaseReader
from ringfence_house.testing.fleet import Fleet

_NODES = 200


def verify_rows(setting: Setting) -> list[Row]:
    """A directory of 200 nodes, each with its own key, chain and token."""
    count = 20 if setting.quick else _NODES
    with tempfile.TemporaryDirectory() as name:
        fleet = Fleet(Path(name) / "fleet", machines=count)
        trust, data, now = read_trust(fleet.trust), fleet.directory(), time.time()
        reader = ReleaseReader(trust.root, Path(name) / "client", partial(_file, fleet))
        first_s = cpu_s(lambda: reader.refresh(now))
        reference = reader.refresh(now)
        verifiers = [SoftwareDev(trust.development_ca)]

        def verify() -> None:
            found = verify_directory(data, reference, verifiers, min_tier="software-dev", model=None, now=now)
            assert len(found.nodes) == count

        taken = take_turns({"verify": verify, "again": lambda: reader.refresh(now)}, rounds=setting.rounds(7))
    each = [used_s * 1e3 for used_s in taken["verify"]]
    again = [used_s * 1e3 for used_s in taken["again"]]
    note = f"{median(each) / count:.2f} ms a node; {len(data) / 1e3:,.0f} kB"
    return [
        Row(
            group="house-verify",
            what=f"a directory of {count} nodes",
            value=median(each),
            unit="ms",
            lowest=min(each),
            note=note,
        ),
        Row(group="house-verify", what="the releases, first", value=first_s * 1e3, unit="ms", note="TUF, from nothing"),
        Row(group="house-verify", what="the releases, again", value=median(again), unit="ms", lowest=min(again)),
    ]


def _file(fleet: Fleet, path: str) -> bytes:
    found = fleet.release_file(path)
    if found is None:
        raise Missing
    return found
