"""`ringfence completion`: the script that teaches a shell to complete this command."""

from __future__ import annotations

import click

from ringfence.cli import terminal

SHELLS = ("bash", "zsh", "fish")


_INSTALL = """\b
To install it:
  bash: ringfence completion bash \\
          > ~/.local/share/bash-completion/completions/ringfence
  zsh:  ringfence completion zsh > "${fpath[1]}/_ringfence"
  fish: ringfence completion fish > ~/.config/fish/completions/ringfence.fish
or for this shell alone:
  eval "$(ringfence completion bash)"
"""


@click.command(epilog=_INSTALL)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Prints the script that teaches SHELL to complete commands, options, labels and recipients."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from ringfence.cli.root import PROGRAM, root  # noqa: PLC0415  (it mounts this module)

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (click has all three)
    terminal.write(found(root, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source() + "\n")


__all__ = ["completion"]
