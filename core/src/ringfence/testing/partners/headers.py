"""The headers that the vendors send beside the answer itself."""

from __future__ import annotations

import secrets
from email.utils import formatdate


def openai_headers(model: str) -> dict[str, str]:
    """As OpenAI's front sends them, with a cookie that no client here should keep."""
    return {
        "date": formatdate(usegmt=True),
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-organization": "org-ringfence",
        "openai-project": "proj_ringfence",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "openai-model": model or "none",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999970",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "0s",
        "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
        "cf-cache-status": "DYNAMIC",
        "set-cookie": f"__cf_bm={secrets.token_hex(16)}; path=/; HttpOnly",
        "x-content-type-options": "nosniff",
        "server": "cloudflare",
        "cf-ray": f"{secrets.token_hex(8)}-FRA",
        "alt-svc": 'h3=":443"; ma=86400',
    }


def gemini_headers() -> dict[str, str]:
    """As Google's front sends them."""
    return {
        "date": formatdate(usegmt=True),
        "vary": "Origin, X-Origin, Referer",
        "server": "scaffolding on HTTPServer2",
        "x-xss-protection": "0",
        "x-frame-options": "SAMEORIGIN",
        "x-content-type-options": "nosniff",
        "server-timing": "gfet4t7; dur=12",
        "alt-svc": 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000',
    }


def retry_headers(retry_after_s: float | None) -> dict[str, str]:
    """How long to wait, in seconds; a fraction stays one."""
    return {} if retry_after_s is None else {"retry-after": f"{retry_after_s:g}"}
