"""Ringfence over the Gemini API."""

from adapters._ringfence import Base  # type: ignore[import-not-found]  # the bench's own package
from common import GMODEL  # type: ignore[import-not-found]

VENV = "ringfence"
IMPORT = "import ringfence"
SHAPE = "gemini"
__all__ = ["IMPORT", "SHAPE", "VENV", "Adapter"]


class Adapter(Base):
    provider, model = "gemini", GMODEL
