"""The balancer is the attacker: everything that it tries, what the client says to it, and whether the prompt left.

python -m examples.house.hostile
python -m examples.house.hostile replay splice      (only the attacks with one of these words)
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from examples.house.asking import Outcome, ask, policy_text
from examples.house.attacks import ATTACKS, SLOWLY
from examples.house.attacks_on_proof import with_stale_releases
from examples.house.cluster import Cluster, Engine
from examples.house.forged import published_again
from examples.house.hostile_balancer import FAITHFUL, OHTTP, Attack, Exchange, HostileBalancer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from ringfence.testing import PartnerServer

MODEL = "scripted"
QUESTION = "My PIN is 8812-quokka; what is a good place to keep it?"
WIDE = 140
"""From how many columns on a line also has what the error says; a file has it always."""
_PEOPLE = Console(stderr=True)


async def main() -> int:
    """Runs every attack against a client of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringfence-house-")))
        engine = stack.enter_context(PartnerServer("chat", keyless=True))
        engine.play(SLOWLY)
        with _PEOPLE.status("starting two nodes and a directory"):
            behind = Engine(model=MODEL, url=engine.url)
            cluster = stack.enter_context(Cluster(folder, engine=behind, balanced=False))
        nodes = cluster.node_addresses
        balancer = stack.enter_context(HostileBalancer(directory=cluster.directory_address, nodes=nodes))
        attacks = (*ATTACKS, *with_stale_releases(published_again(cluster.state)))
        return await _attack(balancer, attacks, cluster.trust, folder / "client")


async def _attack(balancer: HostileBalancer, attacks: Sequence[Attack], trust: Path, kept: Path) -> int:
    lines: list[tuple[str, str, str, str]] = []
    fallen = 0
    policy = policy_text(model=MODEL, url=balancer.url, trust=trust, min_nodes=2)
    # Some attacks need answers that came before, from both nodes, and a client that remembers.
    while len({exchange.request.fields["ringfence-node"] for exchange in balancer.seen(OHTTP)}) < 2:
        await ask(policy, "A question of somebody else.", kept=kept)
    earlier = len(balancer.exchanges)
    words = sys.argv[1:] or [""]
    chosen = [attack for attack in attacks if any(word in attack.name for word in words)]
    for attack in track((FAITHFUL, *chosen), "attacking", console=_PEOPLE):
        del balancer.exchanges[earlier:]
        balancer.attack = attack
        outcome = await ask(policy, QUESTION, kept=kept if attack.remembered else None)
        fallen += attack is not FAITHFUL and outcome.error is None
        lines.append((attack.name, _where(balancer.exchanges[earlier:]), *_told(outcome)))
    _show(lines)
    return 1 if fallen else 0


def _told(outcome: Outcome) -> tuple[str, str]:
    """What the app gets, in a word, and what that says; the way out is the same for many and stays away."""
    if outcome.error is None:
        return "answered", str(outcome.text)
    return type(outcome.error).__name__, outcome.error.message


def _show(lines: Sequence[tuple[str, str, str, str]]) -> None:
    """One line an attack."""
    console = Console() if sys.stdout.isatty() else Console(width=4 * WIDE)
    columns = ["the balancer", "the prompt", "the client", "which says"]
    if console.width < WIDE:
        columns.pop()
        _PEOPLE.print(f"from {WIDE} columns on, and in a file, there is also what each error says")
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column != "which says")
    for line in lines:
        table.add_row(*map(Text, line[: len(columns)]))
    console.print(table)


def _where(exchanges: Sequence[Exchange]) -> str:
    if any(QUESTION.encode() in exchange.request.body for exchange in exchanges):
        return "in plain sight"
    return "sealed" if any(exchange.request.path == OHTTP for exchange in exchanges) else "never left"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
