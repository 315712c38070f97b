"""What `import ringfence` costs a fresh process, against five modules of the standard library."""

from __future__ import annotations

import json

from tests.benchmarks.clock import median, ratios
from tests.benchmarks.row import Bar, Row
from tests.benchmarks.setting import Setting, child

STANDARD = "import asyncio, json, dataclasses, typing, pathlib"
STATEMENTS = {
    "standard": STANDARD,
    "ringfence": "import ringfence",
    "assistant": "from ringfence import Assistant",
    "bare": "pass",
}
UNWANTED = ("pydantic", "openai", "google.genai", "httpx", "httpx2", "mlx", "ringfence_mlx", "ringfence_detectors")

# An import that reaches for the network shows in the audit hook, whichever module does it.
_PROGRAM = """
import sys, time
reached = []
sys.addaudithook(lambda event, _: event in ("socket.connect", "socket.getaddrinfo") and reached.append(event))
begin_s = time.process_time()
{statement}
took_s = time.process_time() - begin_s
loaded = [name for name in {unwanted!r} if name in sys.modules]
from tests.benchmarks.resident import resident_bytes
held = resident_bytes()
import json
print(json.dumps({{"took_s": took_s, "resident_bytes": held, "loaded": loaded, "reached": reached}}))
"""


def rows(setting: Setting) -> list[Row]:
    """Time and memory as medians of fresh processes that take turns."""
    seen = _turns(setting)
    took = {name: [float(str(one["took_s"])) for one in runs] for name, runs in seen.items()}
    held = {name: median([float(str(one["resident_bytes"])) for one in runs]) for name, runs in seen.items()}
    found: list[Row] = []
    for name, bar in (("ringfence", Bar(limit=1.25, text="≤ 1.25 ×")), ("assistant", None)):
        compared = ratios(took[name], took["standard"])
        milliseconds = f"{median(took[name]) * 1e3:.0f} ms against {median(took['standard']) * 1e3:.0f} ms"
        found.append(
            Row(
                group="import",
                what=f"{STATEMENTS[name]}: time / that of five standard modules",
                value=median(compared),
                unit="×",
                lowest=min(compared),
                bar=bar,
                note=f"{milliseconds} of CPU, {len(compared)} fresh processes each, in turns",
            )
        )
        megabytes = (held[name] - held["bare"]) / 1e6
        memory_bar = Bar(limit=12, text="< 12 MB") if name == "ringfence" else None
        found.append(
            Row(
                group="import",
                what=f"{STATEMENTS[name]}: memory over bare Python",
                value=megabytes,
                unit="MB",
                bar=memory_bar,
            )
        )
    strangers = sorted({str(name) for one in (*seen["ringfence"], *seen["assistant"]) for name in _strangers(one)})
    found.append(
        Row(
            group="import",
            what="modules that must not be there, and network calls",
            value=len(strangers),
            unit="",
            bar=Bar(limit=0, text="none"),
            note=", ".join(strangers) or "no pydantic, vendor SDK, plugin or look-up, of Assistant neither",
        )
    )
    return found


def _turns(setting: Setting) -> dict[str, list[dict[str, object]]]:
    seen: dict[str, list[dict[str, object]]] = {name: [] for name in STATEMENTS}
    for _ in range(setting.rounds(11)):
        for name, statement in STATEMENTS.items():
            program = _PROGRAM.format(statement=statement, unwanted=UNWANTED)
            seen[name].append(json.loads(child(["-c", program])))
    return seen


def _strangers(one: dict[str, object]) -> list[object]:
    loaded, reached = one["loaded"], one["reached"]
    assert isinstance(loaded, list)
    assert isinstance(reached, list)
    return [*loaded, *reached]
