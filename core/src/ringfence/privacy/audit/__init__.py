"""The audit log: an append-only, content-free record of every request, chained so that tampering shows."""

from __future__ import annotations

from ringfence.privacy.audit.log import LOCK_TIMEOUT_S, AuditLog
from ringfence.privacy.audit.record import AuditRecord
from ringfence.privacy.audit.verify import Verification

__all__ = ["LOCK_TIMEOUT_S", "AuditLog", "AuditRecord", "Verification"]
