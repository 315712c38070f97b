"""Runs programs one after another in one process, each as it stands, on one loaded model.

A program is a file, `("-c", code)` or `("ringfence", …)`. An assistant under the built-in policy is the same one for
all of them, and its answers end after 32 tokens unless a program says when: a model takes seconds to load, and as long
for a paragraph.
"""

from __future__ import annotations

import io
import json
import runpy
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import ringfence
import ringfence.assistant
from ringfence import Assistant
from ringfence.provider import ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import Request
from ringfence_mlx.planning import NativePlan
from ringfence_mlx.provider import MlxProvider

_TOKENS = 32


class Done(NamedTuple):
    """What one program did."""

    code: int
    stdout: str
    stderr: str


def run_together(programs: Sequence[Sequence[str]], folder: Path, environment: Mapping[str, str]) -> list[Done]:
    """What each of `programs` did in `folder`, in one new process."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", __file__, json.dumps(programs)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [Done(**one) for one in json.loads(ran.stdout)]


# ---------------------------------------------------------------- in that process


class _Brief(MlxProvider):
    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        plan = super().plan(request, recipient, card)
        native = plan.native
        if not isinstance(native, NativePlan) or native.kind != "generate" or request.output is not None:
            return plan
        sampling = {"max_output_tokens": _TOKENS, **native.job["sampling"]}
        return replace(plan, native=replace(native, job={**native.job, "sampling": sampling}))


def _done(program: Sequence[str]) -> Done:
    code = 0
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            _run(program)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        except BaseException:  # noqa: BLE001  (as an interpreter does)
            code = 1
            traceback.print_exc()
    return Done(code, out.getvalue(), err.getvalue())


def _run(program: Sequence[str]) -> None:
    match program:
        case ["-c", code]:
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        case ["ringfence", *arguments]:
            from ringfence.cli.root import root

            root.main(arguments)
        case [file]:
            runpy.run_path(file, run_name="__main__")
        case _:
            raise ValueError(program)


def _main() -> None:
    """Runs what the first argument says, and prints what was done."""
    programs: list[list[str]] = json.loads(sys.argv[1])
    with ExitStack() as stack:
        opened: list[Assistant] = []

        def assistant(policy: object = None, **settings: Any) -> AbstractContextManager[Assistant]:
            if isinstance(policy, str | Path) or "providers" in settings:
                return Assistant(policy, **settings)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            if not opened:
                opened.append(stack.enter_context(Assistant(providers={"mlx": _Brief()})))
            return nullcontext(opened[0])

        for module in (ringfence, ringfence.assistant):
            stack.enter_context(mock.patch.object(module, "Assistant", assistant))
        print(json.dumps([_done(program)._asdict() for program in programs]))


if __name__ == "__main__":
    _main()
