"""`ringfence completion`: the script that teaches a shell to complete this command."""

from __future__ import annotations

import click

from ringfence.cli import terminal

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    r"""Prints the completion script for SHELL.

    \b
    bash: ringfence completion bash > ~/.local/share/bash-completion/completions/ringfence
    zsh:  ringfence completion zsh > "${fpath[1]}/_ringfence"
    fish: ringfence completion fish > ~/.config/fish/completions/ringfence.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from ringfence.cli.root import PROGRAM, root  # noqa: PLC0415  (it mounts this module)

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (click has all three)
    terminal.write(found(root, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source() + "\n")


__all__ = ["completion"]
