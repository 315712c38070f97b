"""A house on this machine, with one command: two attested nodes with the embedded model, a directory, and HAProxy.

python -m examples.house.run
python -m examples.house.run "Name three fruits."
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from examples.house.asking import policy_text
from examples.house.cluster import INSTALL, Cluster, Engine, haproxy
from examples.house.processes import NotReady
from rich.console import Console
from rich.status import Status
from rich.table import Table

from ringfence import Assistant, Receipt, RingfenceError, Settings
from ringfence.policy import read_policy

MODEL = "smollm2-135m-instruct"
QUESTION = "What is the capital of France? Answer in one sentence."
_PEOPLE = Console(stderr=True)
"""Where progress goes; the answer goes to stdout."""


def main() -> int:
    """Brings the house up, asks through it, and takes it down again."""
    question = _question()
    if haproxy() is None:
        _PEOPLE.print(f"haproxy is not installed (try: {INSTALL})")
        return 1
    # A request to end unwinds as Ctrl-C does: what was started is ended.
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        with tempfile.TemporaryDirectory(prefix="ringfence-house-") as folder:
            _run(Path(folder), question)
    except KeyboardInterrupt:
        _PEOPLE.print("ended")
        return 130
    except (NotReady, RingfenceError) as error:
        _PEOPLE.print(str(error), markup=False, highlight=False)
        return 1
    return 0


def _question() -> str:
    description = "Brings up a house on this machine, asks it through a balancer, and takes it down."
    parser = argparse.ArgumentParser(prog="python -m examples.house.run", description=description)
    parser.add_argument("words", nargs="*", metavar="QUESTION", help=f"what is asked (default: {QUESTION})")
    return " ".join(parser.parse_args().words) or QUESTION


def _run(folder: Path, question: str) -> None:
    with _PEOPLE.status("starting") as status:
        cluster = Cluster(folder, engine=Engine(model=MODEL), on_wait=lambda name: _tell(status, name))
        with cluster:
            status.update("asking through the balancer")
            policy = read_policy(policy_text(model=MODEL, url=cluster.url, trust=cluster.trust))
            with Assistant(policy, audit=False) as assistant:
                asked = assistant.stream(question, settings=Settings(max_output_tokens=24))
                with asked as stream:
                    for text in stream.text():
                        status.stop()
                        print(text, end="", flush=True)
                    print(flush=True)
                    _PEOPLE.print(_shown(stream.response().receipt))
            status.update("taking everything down")


def _tell(status: Status, name: str) -> None:
    what = "loads its model and proves it by a token" if name.startswith("node") else "starts"
    status.update(f"{name} {what}")


def _shown(receipt: Receipt) -> Table:
    table = Table(title="receipt", show_header=False, title_justify="left")
    table.add_row("recipient", f"{receipt.recipient} ({receipt.ring})")
    table.add_row("model", str(receipt.model))
    table.add_row("vouched for by", str(receipt.attestation))
    table.add_row("evidence", _short(str(receipt.attestation_digest)))
    table.add_row("tokens", f"{receipt.input_tokens} in, {receipt.output_tokens} out")
    table.add_row("rules", ", ".join(receipt.rules))
    return table


def _short(digest: str) -> str:
    """Enough of `sha256:…` to find it again; the receipt has all of it."""
    name, _, digits = digest.partition(":")
    return f"{name}:{digits[:12]}…"


def _interrupted(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
