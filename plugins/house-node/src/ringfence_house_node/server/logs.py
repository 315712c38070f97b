"""Where the node's own log goes. Other libraries' logs go nowhere: some of them log what they carry."""

from __future__ import annotations

import logging


def log_to_stderr(*, access: bool) -> None:
    """Writes the log to stderr, a line a request only where `access` says so."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ringfence_house_node")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logging.getLogger("ringfence_house_node.access").setLevel(logging.INFO if access else logging.WARNING)
    # Python's last resort writes the warnings of every logger without a handler to stderr.
    logging.lastResort = None


__all__ = ["log_to_stderr"]
