"""An app whose only recipient is the house: its policy, and one question that is answered or refused."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from ringfence import AsyncAssistant, Receipt, Retry, RingfenceError
from ringfence.policy import read_policy

POLICY = """\
version: 1
name: house-example
recipients:
  in-house: {{ring: house, provider: house, model: {model}, directory: "{url}", trust: "{trust}",
             min_tier: {min_tier}, options: {{min_nodes: {min_nodes}}}}}
labels:
  public: {{}}
  health: {{declare: true}}
  unclassified: {{}}
unknown: unclassified
flow:
  - id: house-any
    allow: {{labels: "*", to: [house]}}
    require: {{attested: true}}
route:
  - {{id: only, prefer: [in-house]}}
"""
AT_ONCE = Retry(attempts=3, wait_s=0.0)


def policy_text(*, model: str, url: str, trust: Path, min_tier: str = "software-dev", min_nodes: int = 1) -> str:
    """A policy under which everything may go to attested nodes of the house, and nothing anywhere else."""
    return POLICY.format(model=model, url=url, trust=trust, min_tier=min_tier, min_nodes=min_nodes)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Outcome:
    """What became of a question: a text, or an error."""

    text: str | None = None
    error: RingfenceError | None = None
    receipt: Receipt | None = None

    @property
    def said(self) -> str:
        """What the app is told."""
        return f"{type(self.error).__name__}: {self.error}" if self.error else f"answered: {self.text}"


async def ask(policy: str, question: str, *, kept: Path | None = None) -> Outcome:
    """Asks in a process that has verified nothing yet. `kept` is the folder of one that asked before, if one did."""
    with _folders(kept):
        async with AsyncAssistant(read_policy(policy), audit=False, retry=AT_ONCE) as assistant:
            try:
                async with assistant.stream(question) as stream:
                    response = await stream.response()
            except RingfenceError as error:
                return Outcome(error=error, receipt=error.receipt)
            return Outcome(text=response.text, receipt=response.receipt)


@contextmanager
def _folders(kept: Path | None) -> Generator[None]:
    with TemporaryDirectory(prefix="ringfence-app-") as fresh:
        folder = kept or fresh
        places = {"RINGFENCE_STATE_DIR": f"{folder}/state", "RINGFENCE_CACHE_DIR": f"{folder}/cache"}
        with patch.dict("os.environ", places):
            yield


__all__ = ["AT_ONCE", "Outcome", "ask", "policy_text"]
