"""Pictures and sounds on the command line: what goes in, and where what comes out is kept."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence.cli.documents import event_document
from ringfence.cli.media import NotSaved, Out, ending_of
from ringfence.request import FilePart, ImagePart
from ringfence.response import Event, Finish, Joined, Media, ToolFinished, TurnStarted, Usage, UsageReport

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run

DRAW = ("ask", "--task", "image", "--to", "draws", "a fox")
SPEAK = ("ask", "--task", "speak", "--to", "speaks", "hello")


@pytest.fixture
def folder(machine: Machine) -> Path:
    """An empty folder."""
    path = machine.folder / "album"
    path.mkdir()
    return path


# ------------------------------------------------------------------ in
@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("a.png", "ImagePart image/png a.png"),
        ("a.JPG", "ImagePart image/jpeg a.JPG"),
        ("a.webp", "ImagePart image/webp a.webp"),
        ("a.wav", "FilePart audio/wav a.wav"),
        ("a.mp3", "FilePart audio/mpeg a.mp3"),
        ("a.m4a", "FilePart audio/mp4 a.m4a"),
        ("a.pdf", "FilePart application/pdf a.pdf"),
        ("a.md", "FilePart text/markdown a.md"),
        ("notes", "FilePart text/plain notes"),
    ],
)
def test_an_attachment_goes_as_what_it_is(run: Run, folder: Path, name: str, seen: str) -> None:
    (folder / name).write_bytes(b"content")
    result = run("ask", "--to", "tells", "--attach", str(folder / name))
    assert result.stdout.splitlines()[0] == seen


def test_a_recording_is_transcribed_without_a_text(run: Run, folder: Path) -> None:
    (folder / "talk.wav").write_bytes(b"RIFF")
    result = run("ask", "--task", "transcribe", "--to", "echo", "--attach", str(folder / "talk.wav"), "--json")
    assert json.loads(result.stdout.splitlines()[-1])["receipt"]["task"] == "transcribe"


def test_the_settings_of_pictures_and_sounds_reach_the_provider(run: Run) -> None:
    given = ("--image-size", "640x480", "--image-count", "2", "--voice", "alloy", "--language", "de")
    result = run("ask", "--to", "tells", *given, "--audio-format", "mp3", "x")
    assert result.stdout.splitlines()[1] == "640x480 2 alloy de mp3"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--image-size", "big"), "image_size is width x height"),
        (("--image-count", "0"), "image_count must lie in [1, 10]"),
        (("--voice", "a b"), "voice is one word"),
    ],
)
def test_a_setting_out_of_bounds_is_wrong_usage(run: Run, args: tuple[str, ...], message: str) -> None:
    result = run("ask", *args, "x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


# ------------------------------------------------------------------ out
def test_a_picture_goes_to_the_file_and_its_path_to_stdout(run: Run, folder: Path) -> None:
    result = run(*DRAW, "--out", str(folder / "fox.png"))
    assert (result.exit_code, result.stdout) == (0, f"{folder / 'fox.png'}\n")
    assert (folder / "fox.png").read_bytes() == b"picture 0"
    assert result.stderr.startswith("house · draws/draws")


def test_several_pictures_are_numbered_after_the_first(run: Run, folder: Path) -> None:
    result = run(*DRAW, "--image-count", "3", "--out", str(folder / "fox.png"))
    assert [Path(line).name for line in result.stdout.splitlines()] == ["fox.png", "fox-2.png", "fox-3.png"]
    assert (folder / "fox-3.png").read_bytes() == b"picture 2"


def test_in_a_folder_they_are_called_after_the_task_and_nothing_is_overwritten(run: Run, folder: Path) -> None:
    (folder / "image-1.png").write_text("mine")
    result = run(*DRAW, "--image-count", "2", "--out", str(folder), "--force")
    assert [Path(line).name for line in result.stdout.splitlines()] == ["image-2.png", "image-3.png"]
    assert (folder / "image-1.png").read_text() == "mine"


def test_a_folder_is_made_where_the_name_says_that_it_is_one(run: Run, folder: Path) -> None:
    assert run(*SPEAK, "--out", f"{folder}/new/deep/").exit_code == 0
    assert (folder / "new" / "deep" / "speak-1.mp3").read_bytes() == b"sound"


def test_a_sound_goes_to_the_file(run: Run, folder: Path) -> None:
    assert run(*SPEAK, "--out", str(folder / "hello.mp3")).exit_code == 0
    assert (folder / "hello.mp3").read_bytes() == b"sound"


def test_a_name_that_says_something_else_is_said(run: Run, folder: Path) -> None:
    assert "hello.wav holds audio/mpeg\n" in run(*SPEAK, "--out", str(folder / "hello.wav")).stderr


@pytest.mark.parametrize(("args", "what"), [(DRAW, "a picture"), (SPEAK, "a sound")])
def test_an_answer_that_would_have_nowhere_to_go_is_not_asked_for(
    run: Run, machine: Machine, args: tuple[str, ...], what: str
) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"answers with {what}\ntry: --out FILE or --out FOLDER/\n" in result.stderr
    assert machine.notes() == []


def test_a_file_that_exists_is_not_overwritten_and_nothing_is_sent(run: Run, machine: Machine, folder: Path) -> None:
    (folder / "fox.png").write_text("mine")
    result = run(*DRAW, "--out", str(folder / "fox.png"))
    assert result.exit_code == 2
    assert result.stderr.endswith("exists already\ntry: another --out, or --force\n")
    assert (folder / "fox.png").read_text() == "mine"
    assert machine.notes() == []


def test_force_overwrites_the_file_that_is_named(run: Run, folder: Path) -> None:
    for name in ("fox.png", "fox-2.png"):
        (folder / name).write_text("mine, and quite a bit longer")
    result = run(*DRAW, "--image-count", "2", "--out", str(folder / "fox.png"), "--force")
    assert result.exit_code == 0
    assert (folder / "fox.png").read_bytes() == b"picture 0"
    assert (folder / "fox-2.png").read_text() == "mine, and quite a bit longer"
    assert (folder / "fox-3.png").read_bytes() == b"picture 1"


@pytest.mark.parametrize("out", ["nowhere/fox.png", "file/fox.png", "file/"])
def test_a_place_that_cannot_be_is_wrong_usage_before_anything_is_sent(
    run: Run, machine: Machine, folder: Path, out: str
) -> None:
    (folder / "file").write_text("")
    result = run(*DRAW, "--out", os.path.join(folder, out))  # noqa: PTH118  (a Path drops the last slash)
    assert (result.exit_code, result.stdout) == (2, "")
    assert machine.notes() == []


def test_a_file_that_cannot_be_written_after_all_is_a_failure(folder: Path) -> None:
    out = Out(path=folder, is_folder=False, stem="image", force=True)
    with pytest.raises(NotSaved, match="cannot be written: is a directory"):
        out.save([ImagePart(b"x")])


def test_an_answer_in_a_task_of_text_says_that_its_picture_was_not_kept(run: Run) -> None:
    said = run("ask", "--to", "draws", "x").stderr
    assert "the answer holds image/png of 9 bytes, which was not kept (try: ringfence ask --out FILE)\n" in said


# ------------------------------------------------------------------ as JSON
def test_a_picture_is_one_line_among_the_events(run: Run) -> None:
    lines = [json.loads(line) for line in run(*DRAW, "--json").stdout.splitlines()]
    assert [line["type"] for line in lines] == ["media", "usage", "finish", "response"]
    assert lines[0]["part"]["media_type"] == "image/png"
    assert b64decode(lines[0]["part"]["data"]) == b"picture 0"
    assert "media" not in lines[-1]


def test_without_streaming_the_document_holds_the_picture(run: Run) -> None:
    document = json.loads(run(*DRAW, "--json", "--no-stream").stdout)
    (part,) = document["media"]
    assert (part["media_type"], b64decode(part["data"])) == ("image/png", b"picture 0")


@pytest.mark.parametrize("how", [(), ("--no-stream",)])
def test_json_names_the_files_that_were_written(run: Run, folder: Path, how: tuple[str, ...]) -> None:
    result = run(*DRAW, "--json", *how, "--out", str(folder))
    document = json.loads(result.stdout if how else result.stdout.splitlines()[-1])
    assert document["files"] == [str(folder / "image-1.png")]
    assert "media" not in document
    assert (folder / "image-1.png").read_bytes() == b"picture 0"


@pytest.mark.parametrize(
    ("event", "document"),
    [
        (Finish("stop", None), {"type": "finish", "reason": "stop", "raw": None}),
        (TurnStarted(number=2), {"type": "turn_start", "number": 2}),
        (
            ToolFinished(call_id="a", name="t", is_error=False, duration_s=0.5),
            {"type": "tool_result", "call_id": "a", "name": "t", "is_error": False, "duration_s": 0.5},
        ),
        (
            Joined(broken="a", recipient="b", how="restart"),
            {"type": "joined", "broken": "a", "recipient": "b", "how": "restart"},
        ),
        (
            Media(1, FilePart(b"\0\xff", media_type="audio/wav", labels=frozenset({"b", "a"}))),
            {
                "type": "media",
                "index": 1,
                "part": {"data": "AP8=", "media_type": "audio/wav", "name": None, "labels": ["a", "b"]},
            },
        ),
        (
            UsageReport(usage=Usage(input_tokens=1)),
            {
                "type": "usage",
                "usage": {
                    "input_tokens": 1,
                    "output_tokens": None,
                    "cached_input_tokens": None,
                    "reasoning_tokens": None,
                },
            },
        ),
    ],
    ids=lambda value: value.type if not isinstance(value, dict) else "",
)
def test_every_event_is_json_by_its_fields(event: Event, document: dict[str, object]) -> None:
    assert event_document(event) == document
    assert json.dumps(event_document(event))


@pytest.mark.parametrize(
    ("media_type", "ending"),
    [
        ("image/png", ".png"),
        ("image/jpeg", ".jpg"),
        ("audio/x-wav", ".wav"),
        ("audio/L16;rate=24000", ".pcm"),
        ("Audio/MPEG", ".mp3"),
        ("application/x-strange", ".bin"),
        ("../../etc", ".bin"),
    ],
)
def test_the_name_of_a_file_ends_as_its_type_says(media_type: str, ending: str) -> None:
    assert ending_of(media_type) == ending
