"""`ringfence policy schema`: the JSON Schema of a policy file and of a layer."""

from __future__ import annotations

import click

from ringfence.cli import terminal
from ringfence.cli.options import json_option

SCHEMA_LINE = "# yaml-language-server: $schema=./ringfence.policy.schema.json"


@click.command()
@json_option("The same: it is JSON either way.")
def schema(*, as_json: bool) -> None:
    """Prints the JSON Schema of a policy file, for completion and checking in an editor.

    It is the schema of a layer, too: a file that declares no recipients, labels or routes, and only narrows.
    """
    from ringfence.policy import json_schema  # noqa: PLC0415  (help and completion need none)

    del as_json
    terminal.write_json(json_schema(), indent=2)
    terminal.say("save it as ringfence.policy.schema.json beside the policy, and begin the policy with:")
    terminal.say(SCHEMA_LINE)


__all__ = ["SCHEMA_LINE", "schema"]
