"""Rules on what is around a provider: the environment, the network, and what importing it costs (invariant 4)."""

from __future__ import annotations

import inspect
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringfence.testing.kit import child
from ringfence.testing.kit.base import Subject, needs_backend
from ringfence.testing.kit.expect import expect, fail, named
from ringfence.testing.kit.opened import Outcome
from ringfence.testing.kit.rules.settings import wire
from ringfence.testing.kit.watching import PROXIES, Trap, environment
from ringfence.testing.scenes import Scene, Seen

MODULE_RATIO = 4.0
LEAST_LOOKS, MOST_LOOKS = 3, 9
"""How much longer than `import asyncio, dataclasses, pathlib, typing` the provider's module may take. Measured in one
process, the best of three: a module that imports httpx2 is at 2 to 3, a vendor's SDK at 8 and more."""

_CHILD_S = 120


class SurroundingRules(Subject):
    """Nothing is inferred from the environment, and nothing leaves but by the transport."""

    @needs_backend
    @pytest.mark.parametrize("value", ["address", "word", "true"])
    def test_the_environment_changes_nothing(self, value: str) -> None:
        """Variables that a vendor's client would read, and those of proxies, change nothing of what is sent."""
        with Trap() as trap:
            given = {"address": trap.url, "word": "kit-hostile-word-1d", "true": "true"}[value]
            plain = [_one(self._kit_afresh({})) for _ in range(2)]
            names = (*self.provider.manifest.environment, *PROXIES)
            proxies = dict.fromkeys(PROXIES, trap.url)
            secret = (self.provider.manifest.secret or "").removeprefix("env:")
            hostile = {**dict.fromkeys(names, given), **proxies, **({secret: "kit-hostile-key-9e"} if secret else {})}
            outcome = self._kit_afresh(hostile)
            expect(trap.visits == 0, "with variables of a vendor and proxies set, an address in them was visited")
        changed = _one(outcome)
        expect(wire(plain[0]) == wire(changed), "with variables of a vendor set, other bytes are sent")
        expect(_headers(plain[0], plain) == _headers(changed, plain), "with variables set, other headers are sent")

    def _kit_afresh(self, variables: dict[str, str]) -> Outcome:
        """What comes of a new provider, opened and asked with `variables` set."""

        async def asked() -> Outcome:
            async with self.bench.new() as found:
                return await found.outcome(self.bench.asking())

        with environment({"NO_PROXY": "", "no_proxy": "", **variables}):
            self.bench.play(Scene())
            outcome = self.bench.run(asked())
        outcome.seen = self.bench.seen()
        return outcome

    def test_nothing_leaves_but_by_the_transport(self) -> None:
        """In a process under an audit hook, no connection and no look-up is made but by the core's transport."""
        backend = self.bench.backend
        self.bench.play(Scene())
        found = self._kit_child(
            {
                "task": "watch",
                **_place(type(self)),
                "class": type(self).__qualname__,
                "url": None if backend is None else backend.url,
                "fields": dict(type(self)().recipient_fields(backend)),
            },
            dict.fromkeys(PROXIES, "http://127.0.0.1:9"),
        )
        expect(found["error"] is None, f"in a process of its own, the request ended in {found['error']}")
        expect(not found["outside"], f"beside the transport there was: {', '.join(found['outside'][:3])}")

    def test_importing_it_is_light(self) -> None:
        """Importing the provider's module costs no more than four times a handful of the standard library."""
        task = {"task": "weigh", **_place(self._kit_shipped())}
        weighed: list[dict[str, float]] = []
        ratio = math.inf
        # The least of each: a busy machine makes both larger, never smaller; what is near the bar is looked at again.
        while ratio > MODULE_RATIO and len(weighed) < (MOST_LOOKS if ratio < 2 * MODULE_RATIO else LEAST_LOOKS):
            weighed.append(self._kit_child(task, {}))
            ratio = min(one["module_s"] for one in weighed) / min(one["plain_s"] for one in weighed)
        expect(ratio <= MODULE_RATIO, f"the module takes {ratio:.1f} × a plain import; {MODULE_RATIO:g} × is the bar")

    def test_its_manifest_is_read_without_importing_it(self) -> None:
        """`import ringfence` and reading the manifest do not import the plugin."""
        name = self.bench.provider_name
        found = self._kit_child({"task": "announce", "name": name, **_place(self._kit_shipped())}, {})
        expect(not found["imported"], "reading the manifest imported the plugin")

    def _kit_shipped(self) -> type:
        """The provider class, or what it is made from where the test module makes one of its own."""
        return next(one for one in self.provider.__mro__ if one.__module__ != type(self).__module__)

    def _kit_child(self, task: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        done = subprocess.run(  # noqa: S603  (this interpreter, our own module)
            [sys.executable, "-P", child.__file__],
            input=json.dumps({**task, "path": [str(Path.cwd()), *(entry for entry in sys.path if entry)]}),
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=_CHILD_S,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith(child.MARK)]
        if done.returncode != 0 or not lines:
            last = done.stderr.strip().splitlines()[-1:] or ["nothing"]
            fail(f"the process that runs the provider alone ended with {done.returncode}; it said: {last[0]}")
        result: dict[str, Any] = json.loads(lines[-1].removeprefix(child.MARK))
        return result


def _one(outcome: Outcome) -> Seen:
    expect(outcome.error is None, f"with other variables set, a request ended in {named(outcome.error)}")
    expect(len(outcome.seen) == 1, f"the backend saw {len(outcome.seen)} requests where one was asked for")
    return outcome.seen[0]


def _place(cls: type) -> dict[str, str]:
    return {"module": cls.__module__, "file": inspect.getfile(cls)}


def _headers(seen: Seen, plain: list[Seen]) -> dict[str, str]:
    """The headers, without those that differ from one request to the next anyhow."""
    one, other = plain
    same = {name for name, value in one.headers.items() if other.headers.get(name) == value}
    volatile = set(one.headers) - same
    return {name: value for name, value in seen.headers.items() if name not in volatile}


__all__ = ["MODULE_RATIO", "SurroundingRules"]
