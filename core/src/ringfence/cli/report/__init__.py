"""`ringfence report`: what went where, for a person, in the terminal and as one HTML page."""

from __future__ import annotations

from ringfence.cli.report.command import report

__all__ = ["report"]
