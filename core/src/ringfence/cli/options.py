"""The options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ringfence.cli.failure import JSON

if TYPE_CHECKING:
    from ringfence.policy import Policy

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _note_json(ctx: click.Context, param: click.Parameter, value: bool) -> bool:  # noqa: FBT001  (click's callback)
    del param
    ctx.meta[JSON] = value
    return value


def json_option(text: str = "One JSON document on stdout, nothing else.") -> Callable[[Decorated], Decorated]:
    """`--json`; read first, so that whatever is wrong with the rest is said in JSON too."""
    return click.option("--json", "as_json", is_flag=True, is_eager=True, callback=_note_json, help=text)


def _policy_for_completion(ctx: click.Context) -> Policy | None:
    from ringfence.assistant.asynchronous import find_policy  # noqa: PLC0415
    from ringfence.errors import PolicyError  # noqa: PLC0415

    try:
        return find_policy(ctx.params.get("policy") or None, ctx.params.get("layers") or ())
    except PolicyError:
        return None


def _complete(what: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del param
        policy = _policy_for_completion(ctx)
        names: Any = () if policy is None else getattr(policy, what)
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]

    return complete


policy_option = click.option(
    "--policy",
    type=click.Path(),
    metavar="FILE",
    help="The policy file. [default: RINGFENCE_POLICY, else the built-in one: nothing leaves this machine]",
)
layer_option = click.option(
    "--layer",
    "layers",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Put this layer over the policy: a policy file that only narrows, or an Apple device profile. May be "
    "repeated; those of RINGFENCE_LAYERS hold besides.",
)
ca_option = click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Authorities (PEM) to trust over TLS, instead of the system's: for servers with certificates of your own.",
)
proxy_option = click.option(
    "--proxy", metavar="URL", help="An HTTP proxy for recipients beyond the device. None is taken from the environment."
)
task_option = click.option(
    "--task", metavar="TASK", shell_complete=_complete("tasks"), help="What is asked. [default: open_question]"
)
label_option = click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL",
    shell_complete=_complete("labels"),
    help="A label the text carries; may be repeated.",
)
to_option = click.option(
    "--to",
    multiple=True,
    metavar="RECIPIENT",
    shell_complete=_complete("recipients"),
    help="Only this recipient, where the policy allows it; may be repeated.",
)
consent_option = click.option(
    "--consent",
    multiple=True,
    metavar="RECIPIENT",
    shell_complete=_complete("recipients"),
    help="Say yes beforehand to sending this to RECIPIENT, where the policy asks for consent; may be repeated.",
)
instructions_option = click.option(
    "--instructions", metavar="TEXT", help='What to tell the model beforehand. [default: by task; "" for none]'
)
fact_option = click.option(
    "--fact", "facts", multiple=True, metavar="NAME=VALUE", help="A fact the policy asks for; may be repeated."
)
audit_option = click.option("--no-audit", is_flag=True, help="Keep no record of this in the audit log.")
download_option = click.option("--no-download", is_flag=True, help="Fail rather than download a model.")


def policy_in_force(given: str | None, layers: Sequence[str] = ()) -> Policy:
    """The policy that `--policy` names, else `RINGFENCE_POLICY`, else the built-in one; under its layers.

    Raises:
        PolicyError: it or a layer cannot be used; the built-in one never stands in for it.
    """
    from ringfence.assistant.asynchronous import find_policy  # noqa: PLC0415

    return find_policy(given, layers)


def policy_source(given: str | None) -> str:
    """Who named the policy in force, in words."""
    if given is not None:
        return "--policy"
    return "RINGFENCE_POLICY" if "RINGFENCE_POLICY" in os.environ else "built-in"


__all__ = [
    "audit_option",
    "consent_option",
    "download_option",
    "fact_option",
    "instructions_option",
    "json_option",
    "label_option",
    "layer_option",
    "policy_in_force",
    "policy_option",
    "policy_source",
    "task_option",
    "to_option",
]
