"""One target in a process of its own: `python -m tests.fuzz.child TARGET RUNS FOLDER`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 4096
LONGEST_S: Final = 10
"""A run that takes longer hangs."""
MEMORY_MB: Final = 1024


def main(name: str, runs: int, folder: Path) -> None:
    """Fuzzes; it does not return. What breaks the target is left in `folder`."""
    atheris: Any = import_module("atheris")
    # What is imported here counts its branches: the parsers, also those that a target imports only when it is made.
    with atheris.instrument_imports(include=["ringfence_house"], enable_loader_override=False):
        target = import_module("tests.fuzz.targets").TARGETS[name]()
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        target.run(seed)
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    # The fuzzer takes an empty file for a missing one.
    words.write_text("# words\n" + "".join(f'"{_escaped(word)}"\n' for word in target.words))
    limits = [f"-max_len={MAX_BYTES}", f"-timeout={LONGEST_S}", f"-rss_limit_mb={MEMORY_MB}"]
    options = [f"-runs={runs}", f"-artifact_prefix={folder}/", f"-dict={words}", *limits]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
