"""Ringfence over the Gemini API."""

from adapters._ringfence import Base
from common import GMODEL

VENV = "ringfence"
IMPORT = "import ringfence"
SHAPE = "gemini"
__all__ = ["IMPORT", "SHAPE", "VENV", "Adapter"]


class Adapter(Base):
    provider, model = "gemini", GMODEL
