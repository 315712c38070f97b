"""`ringfence policy`: whether a policy file is right, what it decides and why, and what an edit moves."""

from __future__ import annotations

import click

from ringfence.cli.lazy import Lazy, LazyGroup

COMMANDS = {
    "check": Lazy("ringfence.cli.policy.check:check", "Every fault and warning of FILE, or where each label may go."),
    "explain": Lazy("ringfence.cli.policy.explain:explain", "What FILE decides for a request, and by which rule."),
    "test": Lazy("ringfence.cli.policy.test:test", "Run the tests that FILE holds, and show which rules they cover."),
    "prove": Lazy("ringfence.cli.policy_prove:prove", "Prove the invariants of FILE, or find a request against one."),
    "diff": Lazy("ringfence.cli.policy_prove:diff", "What moves outward between two files, with a request for each."),
    "graph": Lazy("ringfence.cli.policy.graph:graph", "A picture (SVG) of where each label may go."),
    "schema": Lazy("ringfence.cli.policy.schema:schema", "The JSON Schema of a policy file or a layer, for editors."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def policy() -> None:
    """Policy files: which data may reach which recipient, and why.

    No command here needs a key, a network or a provider.
    """


__all__ = ["policy"]
