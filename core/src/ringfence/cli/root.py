"""The command `ringfence` itself: its table of commands, and how every one of them ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from ringfence.cli import failure, plugged, terminal
from ringfence.cli.interrupts import Interrupted, orderly
from ringfence.cli.lazy import Lazy, LazyGroup
from ringfence.errors import RingfenceError

PROGRAM = "ringfence"

COMMANDS = {
    "ask": Lazy("ringfence.cli.ask:ask", "Ask for one answer: TEXT or stdin in, the answer on stdout."),
    "chat": Lazy("ringfence.cli.chat:chat", "Hold a conversation in the terminal."),
    "policy": Lazy("ringfence.cli.policy:policy", "Check a policy file, and see what it decides and why."),
    "providers": Lazy(
        "ringfence.cli.providers:providers",
        "The provider plugins: their state, and a lock for them.",
    ),
    "models": Lazy("ringfence.cli.models:models", "The models on this machine: list, pull, remove."),
    "doctor": Lazy("ringfence.cli.doctor:doctor", "What works on this machine, what does not, and how to mend it."),
    "consent": Lazy("ringfence.cli.consents:consent", "The consents that are stored: list them, take them back."),
    "budget": Lazy("ringfence.cli.budget:budget", "What was spent of the budgets of a policy."),
    "audit": Lazy("ringfence.cli.audit:audit", "The record of every request: list, verify, export."),
    "report": Lazy("ringfence.cli.report:report", "What went where this week, here and as one HTML page."),
    "plugin": Lazy("ringfence.cli.plugin:plugin", "Write a provider or detector, and run the conformance kit on it."),
    "completion": Lazy("ringfence.cli.completion:completion", "The shell's completion script for this command."),
}

EPILOG = """\b
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 after Ctrl-C
(a second one ends at once), 141 if whoever read stdout went away.
RINGFENCE_POLICY names the policy file where --policy does not; with
neither, nothing leaves this machine. RINGFENCE_LAYERS names files that
narrow every policy, such as a device profile, by their full paths."""


class Root(LazyGroup):
    """The top group. Whatever a command raises becomes an exit code here, and nowhere else."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002  (click's own signature)
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: Any,
    ) -> NoReturn:
        """Runs the command that `args` name, and exits."""
        del standalone_mode, windows_expand_args
        name = prog_name or PROGRAM
        self._main_shell_completion(extra, name, complete_var)
        terminal.prepare()
        _leave_no_core()
        with orderly():
            code = self._run(list(sys.argv[1:] if args is None else args), name, extra)
        sys.exit(code)

    def _run(self, args: list[str], name: str, extra: dict[str, Any]) -> int:
        try:
            code = self._invoke(args, name, extra)
            terminal.finish()
        except terminal.ClosedPipe:
            terminal.discard()
            return failure.CLOSED_PIPE
        except terminal.CannotWrite as error:
            failure.show_error(error)
            terminal.discard()
            return failure.REFUSED
        except Interrupted as signal:
            terminal.discard()
            return signal.exit_code
        return code

    def _invoke(self, args: list[str], name: str, extra: dict[str, Any]) -> int:
        meta: dict[str, Any] = {}
        code = failure.DONE
        try:
            # Parsing empties the list that it is given.
            with self.make_context(name, [*args], **extra) as ctx:
                meta = ctx.meta
                self.invoke(ctx)
        except click.exceptions.Exit as end:
            code = end.exit_code
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else failure.DONE if end.code is None else failure.REFUSED
        except click.UsageError as error:
            # What cannot be parsed has set nothing, so the words themselves must tell.
            failure.report_usage_error(error, as_json=bool(meta.get(failure.JSON)) or _asks_for_json(args))
            code = failure.WRONG_USAGE
        except click.Abort:
            code = failure.REFUSED
        except terminal.CannotWrite:
            raise
        except RingfenceError as error:
            failure.report(error, as_json=bool(meta.get(failure.JSON)))
            code = failure.exit_code_of(error)
        except OSError as error:
            if error.filename is None:
                # click.echo and rich write to stdout as well, which is a stream and has no name.
                raise terminal.writing_failed(error) from None
            failure.report(_of_file(error), as_json=bool(meta.get(failure.JSON)))
            code = failure.REFUSED
        return code


class PluggedRoot(Root):
    """The top group with the commands that plugins bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our own, then those that plugins bring."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in plugged.plugged() if name not in own)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Our own first: no plugin takes the place of one."""
        return super().get_command(ctx, cmd_name) or plugged.load(cmd_name)

    def lines(self) -> dict[str, str]:
        """The line of help of every command."""
        own = super().lines()
        return own | {name: plugged.summary(name) for name in plugged.plugged() if name not in own}


def _of_file(error: OSError) -> RingfenceError:
    reason = (error.strerror or "unknown reason").lower()
    return RingfenceError(
        f"cannot use '{error.filename}': {reason}", way_out="see whether it is there, and yours to use"
    )


def _leave_no_core() -> None:
    """A crash writes no memory to the disk: it holds what was asked. What is started from here inherits that."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  (not every system has it)

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _asks_for_json(args: Sequence[str]) -> bool:
    options = args[: args.index("--")] if "--" in args else args
    return "--json" in options


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001  (click's callback)
    del param
    if value and not ctx.resilient_parsing:
        from ringfence import __version__  # noqa: PLC0415

        terminal.write(f"ringfence {__version__}\n")
        ctx.exit()


def _no_colour(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001  (click's callback)
    del param
    if value:
        # Rich reads the variable, and so does everything here.
        os.environ["NO_COLOR"] = "1"
    if os.environ.get("NO_COLOR"):
        ctx.color = False


@click.command(
    name=PROGRAM,
    cls=PluggedRoot,
    lazy=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
@click.option(
    "--no-color",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_no_colour,
    help="No colour, as NO_COLOR=1 in the environment; a pipe or file never gets any.",
)
def root() -> None:
    """Ask assistant models on three rings of trust, under a policy that says what may go where."""


__all__ = ["root"]
