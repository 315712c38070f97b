"""What a person hands to a command: text, stdin, attachments, a schema, facts. All of it bounded, all of it checked."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ringfence.cli import terminal
from ringfence.cli.failure import Misuse
from ringfence.recipient import RINGS

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.request import FilePart, ImagePart, JsonValue

MAX_TEXT_BYTES = 16 << 20
"""Far more than any model's context, and small enough to hold."""

MAX_ATTACHMENT_BYTES = 64 << 20
MAX_SCHEMA_BYTES = 1 << 20

PIPE_PATIENCE_S = 3.0
"""How long a pipe beside a TEXT may stay silent: an inherited one that nobody writes to must not hold the answer."""


def read_text(text: str | None, *, optional: bool = False) -> str:
    """TEXT, stdin, or TEXT with stdin after it; "" where it is `optional` and there is neither.

    Raises:
        Misuse: there is neither, or what there is is empty, too large or no text.
    """
    if text is not None and text != "-":
        _check_argument(text)
        material = _beside_text()
        if not material:
            return text
        terminal.say(f"asking with {len(material):,} characters from stdin after the text", dim=True)
        return f"{text}\n\n{material}"
    if text is None and optional:
        return _beside_text()
    if text is None and terminal.is_terminal(sys.stdin):
        raise Misuse("nothing to ask", way_out='ringfence ask "your question", or a file on stdin')
    given = _decoded(_read_stdin())
    if not given.strip():
        raise Misuse("standard input is empty", way_out='ringfence ask "your question", or a file on stdin')
    return given


def _check_argument(text: str) -> None:
    if not text.strip():
        raise Misuse("TEXT is empty", way_out='ringfence ask "your question"')
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Misuse(
            "TEXT is not valid in this terminal's encoding", way_out="put it in a UTF-8 file: < FILE"
        ) from None
    if size > MAX_TEXT_BYTES:
        raise Misuse(f"TEXT is larger than {MAX_TEXT_BYTES >> 20} MiB")


def _beside_text() -> str:
    """What stdin holds beside a TEXT; "" for a terminal, nothing, or a pipe that stays silent."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return ""
    if stat.S_ISREG(mode):
        return _decoded(_read_stdin()).strip("\n")
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return ""
    import select  # noqa: PLC0415

    if not select.select([sys.stdin.fileno()], [], [], PIPE_PATIENCE_S)[0]:
        terminal.say(f"nothing came on stdin in {PIPE_PATIENCE_S:.0f} s, so it was not read", dim=True)
        terminal.say('to wait for it: ringfence ask --instructions "…" -', dim=True)
        return ""
    return _decoded(_read_stdin()).strip("\n")


def _read_stdin() -> bytes:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        return b""
    try:
        data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise Misuse(f"standard input cannot be read: {why}") from None
    if len(data) > MAX_TEXT_BYTES:
        raise Misuse(f"standard input is larger than {MAX_TEXT_BYTES >> 20} MiB", way_out="a part of it")
    return data


def lines_of_stdin() -> Iterator[str]:
    """The lines of stdin that are not blank, as they come.

    Raises:
        Misuse: one is too large or no text.
    """
    while line := _read_stdin_line():
        text = _decoded(line).rstrip("\r\n")
        if text.strip():
            yield text


def _read_stdin_line() -> bytes:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        return b""
    line = sys.stdin.buffer.readline(MAX_TEXT_BYTES + 1)
    if len(line) > MAX_TEXT_BYTES:
        raise Misuse(f"a line of standard input is larger than {MAX_TEXT_BYTES >> 20} MiB", way_out="a part of it")
    return line


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Misuse(
            "standard input is not UTF-8 text",
            way_out="iconv -t utf-8 for a text in another encoding, --attach FILE for a file",
        )
    return text


def read_attachments(paths: Sequence[str]) -> list[ImagePart | FilePart]:
    """The files as parts, their media types guessed by name, then by content.

    Raises:
        Misuse: one cannot be read or is too large.
    """
    return [_attachment(Path(path)) for path in paths]


def _attachment(path: Path) -> ImagePart | FilePart:
    import mimetypes  # noqa: PLC0415  (only attachments need it)

    from ringfence.cli.media import MEDIA_TYPES  # noqa: PLC0415
    from ringfence.request import FilePart, ImagePart  # noqa: PLC0415

    data = read_file(path, "attachment", MAX_ATTACHMENT_BYTES)
    if not data:
        raise Misuse(f"attachment '{path}' is empty")
    media_type = (
        MEDIA_TYPES.get(path.suffix.lower())
        or mimetypes.guess_type(path.name)[0]
        or ("text/plain" if _is_text(data) else "application/octet-stream")
    )
    kind = ImagePart if media_type.startswith("image/") else FilePart
    return kind(data, media_type=media_type, name=path.name)


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def read_file(path: Path, what: str, max_bytes: int) -> bytes:
    """The bytes of a file named on the command line.

    Raises:
        Misuse: it is missing, unreadable or larger than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise Misuse(f"{what} '{path}' does not exist", way_out="check the path") from None
    except IsADirectoryError:
        raise Misuse(f"{what} '{path}' is a directory", way_out="name a file in it") from None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or "not a usable path").lower()
        raise Misuse(f"{what} '{path}' cannot be read: {why}") from None
    if len(data) > max_bytes:
        raise Misuse(f"{what} '{path}' is larger than {max_bytes >> 20} MiB")
    return data


def read_schema(path: str | None) -> Mapping[str, JsonValue] | None:
    """The JSON Schema in a file.

    Raises:
        Misuse: it cannot be read, or is not a JSON object.
    """
    if path is None:
        return None
    import json  # noqa: PLC0415

    data = read_file(Path(path), "schema", MAX_SCHEMA_BYTES)
    try:
        schema: object = json.loads(data)
    except json.JSONDecodeError as error:
        raise Misuse(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg.lower()}") from None
    except (ValueError, RecursionError):
        raise Misuse(f"schema '{path}' is not JSON text in UTF-8") from None
    if not isinstance(schema, dict):
        raise Misuse(f"schema '{path}' is not a JSON object", way_out='{"type": "object", …}')
    return cast("dict[str, JsonValue]", schema)


def check_names(
    policy: Policy, *, task: str | None, labels: Sequence[str], to: Sequence[str], consent: Sequence[str] = ()
) -> None:
    """Refuses a task, label or recipient that `policy` does not declare.

    Raises:
        Misuse: with the nearest name, or all of them.
    """
    for what, names, known in (
        ("task", () if task is None else (task,), policy.tasks),
        ("label", labels, policy.labels),
        ("recipient", (*to, *consent), policy.recipients),
    ):
        for name in names:
            if what == "recipient" and name in RINGS:
                inside = [one.name for one in policy.recipients.values() if one.ring == name]
                shown = ", ".join(inside or policy.recipients)
                raise Misuse(f"'{name}' is a ring", way_out=f"name a recipient: {shown}")
            if name not in known:
                from ringfence.policy import nearest  # noqa: PLC0415  (only a misspelt name needs it)

                close = nearest(name, known)
                raise Misuse(
                    f"{what} '{name}' is not declared in policy '{policy.name}'",
                    way_out=close or f"one of {', '.join(sorted(known))}",
                )


def read_facts(policy: Policy, given: Sequence[str]) -> dict[str, str | int | float | bool]:
    """`NAME=VALUE` pairs as facts of the types that `policy` declares.

    Raises:
        Misuse: a pair without `=`, a fact that is not declared, or a value it cannot have.
    """
    facts: dict[str, str | int | float | bool] = {}
    for pair in given:
        name, equals, written = pair.partition("=")
        if not equals:
            raise Misuse(f"--fact takes NAME=VALUE, not '{pair}'", way_out="--fact user.age_band=adult")
        fact = policy.facts.get(name)
        if fact is None:
            raise _not_declared(policy, name)
        value = fact.parse(written)
        if value is None:
            raise Misuse(f"'{written}' is not a value of fact '{name}'", way_out=fact.describe())
        facts[name] = value
    return facts


def _not_declared(policy: Policy, name: str) -> Misuse:
    from ringfence.policy import nearest  # noqa: PLC0415  (only a misspelt name needs it)

    # People leave out what the name begins with.
    short = [fact for fact in policy.facts if fact.partition(".")[2] == name]
    meant = short[0] if len(short) == 1 else nearest(name, policy.facts)
    hint = f". Did you mean '{meant}'?" if meant else ""
    known = ", ".join(sorted(policy.facts)) or "it declares none"
    return Misuse(f"fact '{name}' is not declared in policy '{policy.name}'{hint}", way_out=known)


__all__ = ["check_names", "lines_of_stdin", "read_attachments", "read_facts", "read_file", "read_schema", "read_text"]
