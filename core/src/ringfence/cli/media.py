"""Pictures and sounds of an answer as files: where they go, under which names, and nothing overwritten unasked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli import terminal
from ringfence.cli.failure import Misuse
from ringfence.errors import RingfenceError

if TYPE_CHECKING:
    from ringfence.request import FilePart, ImagePart
    from ringfence.response import Response

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".pcm": "audio/pcm",
    ".pdf": "application/pdf",
    ".json": "application/json",
    ".md": "text/markdown",
}
"""What a file is by the end of its name; the same on every machine, unlike the system's own table."""

_ENDINGS = {media_type: ending for ending, media_type in reversed(MEDIA_TYPES.items())}
_SAME = {"audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/mp3": "audio/mpeg", "audio/l16": "audio/pcm"}

TASKS_OF_MEDIA = ("image", "speak")
"""Tasks whose answer is no text."""


class NotSaved(RingfenceError):
    """A picture or sound of an answer cannot be written to where it should go."""


def media_of(response: Response[object]) -> tuple[ImagePart | FilePart, ...]:
    """The pictures, sounds and files of an answer, in order."""
    from ringfence.request import FilePart, ImagePart  # noqa: PLC0415

    return tuple(part for part in response.message.parts if isinstance(part, ImagePart | FilePart))


def ending_of(media_type: str) -> str:
    """How the name of a file of this type ends: `.png`; `.bin` where nobody knows."""
    plain = media_type.partition(";")[0].strip().lower()
    return _ENDINGS.get(_SAME.get(plain, plain), ".bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """Where the media of an answer go: into the folder `path`, or to the file `path` and others numbered after it."""

    path: Path
    is_folder: bool
    stem: str
    force: bool

    def save(self, parts: Sequence[ImagePart | FilePart]) -> list[Path]:
        """Writes every part to a file of its own; returns where they are, in order.

        Raises:
            NotSaved: one cannot be written.
        """
        return [self._save(part, number) for number, part in enumerate(parts, start=1)]

    def _save(self, part: ImagePart | FilePart, number: int) -> Path:
        try:
            if self.is_folder:
                self.path.mkdir(parents=True, exist_ok=True)
            for path, may_replace in self._names(part, number):
                with suppress(FileExistsError):
                    _write(path, part.data, may_replace=may_replace)
                    return path
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise NotSaved(f"'{self.path}' cannot be written: {why}", way_out="another --out") from None
        raise AssertionError  # the names never end

    def _names(self, part: ImagePart | FilePart, number: int) -> Iterator[tuple[Path, bool]]:
        """Names to try, and whether what is there may be replaced: only the file that a person named."""
        if self.is_folder:
            ending = ending_of(part.media_type)
            yield from ((self.path / f"{self.stem}-{next_one}{ending}", False) for next_one in count(number))
        if number == 1:
            yield self.path, self.force
        for next_one in count(max(number, 2)):
            yield self.path.with_name(f"{self.path.stem}-{next_one}{self.path.suffix}"), False


def _write(path: Path, data: bytes, *, may_replace: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if may_replace else os.O_EXCL)
    descriptor = os.open(path, flags, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def read_out(given: str | None, *, task: str | None, force: bool, as_json: bool) -> Out | None:
    """Where `--out` says that media go; checked before anything is sent, since an answer may cost.

    Raises:
        Misuse: the task answers with a picture or sound that would have nowhere to go, or the place cannot be used.
    """
    if given is None:
        if task in TASKS_OF_MEDIA and not as_json:
            what = "a picture" if task == "image" else "a sound"
            raise Misuse(f"task '{task}' answers with {what}", way_out="--out FILE or --out FOLDER/")
        return None
    path = Path(given)
    is_folder = path.is_dir() or given.endswith(("/", os.sep))
    parent = path if is_folder else path.parent
    nearest = next((folder for folder in (parent, *parent.parents) if folder.exists()), parent)
    if not nearest.is_dir() or (not is_folder and not parent.is_dir()):
        raise Misuse(f"'{parent}' is no folder", way_out="another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise Misuse(f"'{nearest}' cannot be written", way_out="another --out")
    if not is_folder and path.exists() and not force:
        force = _may_overwrite(path)
    # A policy may call its tasks anything.
    stem = task if task is not None and task.replace("-", "_").isidentifier() else "answer"
    return Out(path=path, is_folder=is_folder, stem=stem, force=force)


def _may_overwrite(path: Path) -> bool:
    if terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr):
        if click.confirm(f"'{terminal.harmless(str(path))}' exists; overwrite it?", err=True):
            return True
        raise Misuse(f"'{path}' exists already", way_out="another --out")
    raise Misuse(f"'{path}' exists already", way_out="another --out, or --force")


def hints_of(parts: Sequence[ImagePart | FilePart], paths: Sequence[Path]) -> Iterator[str]:
    """What a person should know: a name that says something else than its content; media that went nowhere."""
    for part, path in zip(parts, paths, strict=False):
        named = MEDIA_TYPES.get(path.suffix.lower())
        if named is not None and ending_of(named) != ending_of(part.media_type):
            yield f"{path.name} holds {part.media_type}"
    for part in parts[len(paths) :]:
        what = f"{part.media_type} of {len(part.data):,} bytes"
        yield f"the answer holds {what}, which was not kept (try: ringfence ask --out FILE)"


__all__ = ["MEDIA_TYPES", "TASKS_OF_MEDIA", "NotSaved", "Out", "ending_of", "hints_of", "media_of", "read_out"]
