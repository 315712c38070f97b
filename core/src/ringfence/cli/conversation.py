"""A conversation as `ringfence chat` holds it: the session, and what a line that begins with `/` does."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ringfence.cli import terminal
from ringfence.cli.failure import Misuse
from ringfence.cli.given import check_names, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ringfence.assistant import Assistant, Stream
    from ringfence.assistant.build import RequestOptions
    from ringfence.policy import Policy

MAX_SAVED_BYTES = 256 << 20

HELP = """\
/labels       the labels this conversation carries
/label NAME   declare NAME for what you write from here on; again to stop
/reset        forget the conversation and begin a new one
/save FILE    write the conversation to a new file that only you can read
/load FILE    go on with a saved conversation
/quit         end; so does Ctrl-D
//…           a line that begins with /"""


class Quit(Exception):
    """The person is done."""


class Conversation:
    """A session and the labels that its next turn declares."""

    def __init__(self, assistant: Assistant, policy: Policy, options: RequestOptions, *, labels: Sequence[str]) -> None:
        self._assistant = assistant
        self._policy = policy
        self._options = options
        self._labels = dict.fromkeys(labels)
        self._session = assistant.session(**options)

    def stream(self, text: str) -> Stream[Any]:
        """The answer to the next turn."""
        return self._session.stream(text, labels=tuple(self._labels))

    def command(self, line: str) -> None:
        """Does what a line that begins with `/` says.

        Raises:
            Quit: it says to end.
            Misuse: there is no such command, or it cannot be done.
        """
        name, _, argument = line.partition(" ")
        argument = argument.strip()
        match name:
            case "/help":
                terminal.say(HELP)
            case "/labels":
                self._show_labels()
            case "/label":
                self._toggle_label(argument)
            case "/reset":
                self._session = self._assistant.session(**self._options)
                terminal.say("a new conversation", dim=True)
            case "/save":
                self._save(_file(name, argument))
            case "/load":
                self._load(_file(name, argument))
            case "/quit" | "/exit":
                raise Quit
            case _:
                raise Misuse(f"there is no command '{name}'", way_out=f"/help, or /{name} to send it as text")

    def _show_labels(self) -> None:
        carried = ", ".join(sorted(self._session.labels)) or "none yet"
        declared = ", ".join(self._labels) or "none"
        # A loaded conversation may carry names that no policy has.
        terminal.say(f"the conversation carries: {terminal.harmless(carried)}")
        terminal.say(f"declared for the next turn: {declared}")
        terminal.say(f"the policy knows: {', '.join(self._policy.labels)}", dim=True)

    def _toggle_label(self, label: str) -> None:
        if not label:
            raise Misuse("/label takes the name of a label", way_out=f"one of {', '.join(self._policy.labels)}")
        check_names(self._policy, task=None, labels=(label,), to=())
        if label in self._labels:
            del self._labels[label]
        else:
            self._labels[label] = None
        terminal.say(f"declared for the next turn: {', '.join(self._labels) or 'none'}", dim=True)

    def _save(self, path: Path) -> None:
        text = json.dumps(self._session.dump(), ensure_ascii=True, indent=1)
        try:
            # It holds the conversation, so nobody else may read it; and nothing is ever overwritten.
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                _write_whole(file, text, path)
        except FileExistsError:
            raise Misuse(f"'{path}' exists already", way_out="another name") from None
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise Misuse(f"'{path}' cannot be written: {why}", way_out="another place") from None
        terminal.say(f"saved {len(self._session.messages)} messages to {path}", dim=True)

    def _load(self, path: Path) -> None:
        data = read_file(path, "conversation", MAX_SAVED_BYTES)
        try:
            saved: object = json.loads(data)
        except (ValueError, RecursionError):
            saved = None
        if not isinstance(saved, dict):
            raise Misuse(f"'{path}' is not a saved conversation", way_out="a file that /save wrote")
        self._session.load(cast("Mapping[str, Any]", saved))
        terminal.say(f"{len(self._session.messages)} messages loaded from {path}", dim=True)


def _write_whole(file: Any, text: str, path: Path) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _file(name: str, argument: str) -> Path:
    if not argument:
        raise Misuse(f"{name} takes a file", way_out=f"{name} talk.json")
    return Path(argument).expanduser()


__all__ = ["Conversation", "Quit"]
