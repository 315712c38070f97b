"""Ringfence over Chat Completions."""

from adapters._ringfence import Base  # type: ignore[import-not-found]  # the bench's own package
from common import MODEL  # type: ignore[import-not-found]

VENV = "ringfence"
IMPORT = "import ringfence"
SHAPE = "chat"
__all__ = ["IMPORT", "SHAPE", "VENV", "Adapter"]


class Adapter(Base):
    model, path, more = MODEL, "/v1", ", options: {api: chat}"
