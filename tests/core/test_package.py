"""What `import ringfence` costs and offers; that memory stays flat."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.core.support import assistant, policy

import ringfence
from ringfence import paths, testing
from ringfence.errors import Overloaded
from ringfence.grant import Grant
from ringfence.provider import Plan
from ringfence.response import Finish, ProviderEvent
from ringfence.testing import ScriptedProvider, text_events

HEAVY = (
    *("pydantic", "pydantic_core", "click", "rich", "ruamel", "ringfence_mlx", "ringfence_detectors", "mlx", "httpx2"),
    *("httpx", "importlib.metadata", "jsonschema_rs", "platformdirs", "numpy", "transformers", "openai"),
)


def loaded_after(program: str) -> set[str]:
    """The modules that are loaded when `program` has run in a process of its own."""
    code = f"{program}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {name for name in HEAVY if name in modules}


def test_importing_ringfence_loads_nothing_heavy() -> None:
    # An editable install may load modules of its own at start, before any line of the program.
    assert heavy(loaded_after("import ringfence") - loaded_after("")) == set()


def test_every_public_name_loads_nothing_heavy() -> None:
    program = "import ringfence\nfor name in ringfence.__all__: getattr(ringfence, name)"
    assert heavy(loaded_after(program) - loaded_after("")) == set()


def test_a_request_with_a_provider_object_under_the_built_in_policy_loads_nothing_heavy() -> None:
    program = (
        "from ringfence import Assistant\nfrom ringfence.testing import ScriptedProvider\n"
        "import os; os.environ.pop('RINGFENCE_POLICY', None)\n"
        "it = Assistant(providers={'mlx': ScriptedProvider('x')}, audit=False)\n"
        "assert it.respond('x').text == 'x'\nit.close()"
    )
    assert heavy(loaded_after(program) - loaded_after("import asyncio")) <= {"platformdirs"}


def test_every_public_name_is_there() -> None:
    assert sorted(ringfence.__all__) == sorted(set(ringfence.__all__))
    for name in ringfence.__all__:
        assert getattr(ringfence, name) is not None
    assert dir(ringfence) == sorted(ringfence.__all__)


def test_every_public_name_is_the_one_of_its_module() -> None:
    from ringfence import assistant as facade
    from ringfence import errors, policy, request

    assert ringfence.Assistant is facade.Assistant
    assert ringfence.Denied is errors.Denied
    assert ringfence.load_policy is policy.load_policy
    assert ringfence.TextPart is request.TextPart


def test_star_import_gives_exactly_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from ringfence import *", names)
    assert set(names) - {"__builtins__"} == set(ringfence.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Asistant'"):
        ringfence.Asistant  # noqa: B018  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


def test_the_public_names_of_the_kit_are_there() -> None:
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []


def test_folders_are_those_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RINGFENCE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("RINGFENCE_STATE_DIR", "~/state")
    assert paths.cache_dir() == tmp_path / "cache"
    assert paths.state_dir() == Path.home() / "state"
    monkeypatch.setenv("RINGFENCE_CACHE_DIR", "")
    monkeypatch.delenv("RINGFENCE_STATE_DIR")
    assert paths.cache_dir().is_absolute()
    assert "ringfence" in str(paths.state_dir())


# ------------------------------------------------------------------ memory
async def test_memory_stays_flat_over_two_thousand_calls(tmp_path: Path) -> None:
    class Forgetful(ScriptedProvider):
        """Keeps nothing of what it was sent, as a real provider does."""

        @property
        def kept(self) -> int:
            del self.requests[:], self.grants[:]
            return 0

    class Full(Forgetful):
        async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
            grant.spend(plan.request)
            if grant.spent:
                raise Overloaded("full")
            yield Finish("stop")

    answers = Forgetful(text_events("Hel", "lo"))
    fails = Full()
    rules = policy("fails", "answers", fallback=["answers"])

    async def work(count: int) -> None:
        for number in range(count):
            await it.respond(f"text {number}", labels={"work"})
            async with it.stream(f"text {number}") as stream:
                await anext(stream)
            assert answers.kept == fails.kept == 0

    def objects() -> Counter[str]:
        gc.collect()
        return Counter(type(one).__name__ for one in gc.get_objects())

    async with assistant(rules, tmp_path, answers=answers, fails=fails) as it:
        await work(100)
        before, blocks_before = objects(), sys.getallocatedblocks()
        await work(900)
        after, blocks_after = objects(), sys.getallocatedblocks()
        grown = {name: count for name, count in (after - before).items() if count > 50}
    assert grown == {}
    assert blocks_after - blocks_before < 2_000


HELD = "held " * 20_000


async def first_event(it: ringfence.AsyncAssistant) -> None:
    async with it.stream(HELD) as stream:
        await anext(stream)


async def test_a_cancelled_stream_frees_what_it_held() -> None:
    from ringfence.request import Request

    provider = ScriptedProvider(text_events(*["a"] * 50))
    async with assistant(policy("first"), first=provider) as it:
        for _ in range(20):
            await first_event(it)
        del provider.requests[:], provider.grants[:]
        gc.collect()
        alive = [one for one in gc.get_objects() if isinstance(one, Request) and one.messages[-1].text == HELD]
    assert alive == []
