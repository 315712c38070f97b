"""Ringfence over the Responses API."""

from adapters._ringfence import Base
from common import MODEL

VENV = "ringfence"
IMPORT = "import ringfence"
SHAPE = "responses"
__all__ = ["IMPORT", "SHAPE", "VENV", "Adapter"]


class Adapter(Base):
    model, path, more = MODEL, "/v1", ", options: {api: responses}"
