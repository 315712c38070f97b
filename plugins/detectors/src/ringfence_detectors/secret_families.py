"""Tokens that announce themselves: what each begins with, and how long it is at least, as the vendors make them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = r"[A-Za-z0-9_\-]"
_DOTTED = r"[A-Za-z0-9_\-.]"
_ALPHANUMERIC = r"[A-Za-z0-9]"


@dataclass(frozen=True, slots=True)
class Family:
    """Tokens that begin with `prefix`: what follows is of `characters`, `fewest` of them at least.

    With `digit`, a digit or capital must be among them: otherwise it is a word with dashes.
    """

    prefix: str
    fewest: int
    run: re.Pattern[str]
    digit: bool = True


def _families(prefixes: str, fewest: int, characters: str = _WORD) -> tuple[Family, ...]:
    run = re.compile(f"{characters}*")
    return tuple(Family(prefix, fewest, run) for prefix in prefixes.split())


FAMILIES = (
    *_families("AKIA ASIA ABIA ACCA", 16, "[A-Z0-9]"),  # Amazon Web Services
    *_families("ABSK", 100, r"[A-Za-z0-9+/=]"),
    *_families("ghp_ gho_ ghu_ ghs_ ghr_", 30, _ALPHANUMERIC),  # GitHub
    *_families("github_pat_", 22),
    *_families(
        "glpat- glptt- gldt- glrt- glcbt- glsoat- glft- gloas- glimt- glagent- GR1348941", 16, _DOTTED
    ),  # GitLab
    *_families("xoxb- xoxp- xoxa- xoxr- xoxs- xoxo- xoxc- xoxd- xoxe- xoxe. xapp-", 10, r"[A-Za-z0-9_\-.%]"),  # Slack
    *_families("sk_live_ sk_test_ rk_live_ rk_test_ rk_prod_ sk_prod_ whsec_", 10),  # Stripe
    *_families("sk-", 20),  # OpenAI, Anthropic, OpenRouter, DeepSeek and others
    *_families("AIza", 35),  # Google
    *_families("ya29.", 20, _DOTTED),
    *_families("GOCSPX-", 20),
    *_families("hf_ api_org_", 30, _ALPHANUMERIC),  # Hugging Face
    *_families("gsk_ xai- pplx- r8_ tgp_v1_", 30),  # Groq, xAI, Perplexity, Replicate, Together
    *_families("npm_", 30, _ALPHANUMERIC),
    *_families("pypi-AgE pypi-AgEIcHlwaS", 50),
    *_families("rubygems_", 40, _ALPHANUMERIC),
    *_families("dop_v1_ doo_v1_ dor_v1_", 40, _ALPHANUMERIC),  # DigitalOcean
    *_families("shpat_ shpss_ shpca_ shppa_", 30, _ALPHANUMERIC),  # Shopify
    *_families("SG.", 40, _DOTTED),  # SendGrid
    *_families("xkeysib-", 60),  # Brevo
    *_families("sq0atp- sq0csp- EAAAE", 20),  # Square
    *_families("EAAC EAAB", 60, _ALPHANUMERIC),  # Meta
    *_families("dapi", 32, "[a-f0-9]"),  # Databricks
    *_families("dp.pt. dp.st. dp.ct. dp.sa.", 30, _DOTTED),  # Doppler
    *_families("lin_api_ lin_oauth_ ntn_ secret_", 32, _ALPHANUMERIC),  # Linear, Notion
    *_families("glsa_ glc_", 30, r"[A-Za-z0-9_+/=]"),  # Grafana
    *_families("hvs. hvb. hvr.", 20, _DOTTED),  # HashiCorp Vault
    *_families("sbp_ sb_secret_ pscale_tkn_ pscale_pw_ pscale_oauth_", 20),  # Supabase, PlanetScale
    *_families(
        "PMAK- NRAK- NRII- NRAL- HRKU- ATATT3 ATCTT3 ATBB", 20, r"[A-Za-z0-9_\-=]"
    ),  # Postman, New Relic, Heroku, …
    *_families("sntrys_ sntryu_", 30, r"[A-Za-z0-9_+/=\-]"),  # Sentry
    *_families("dckr_pat_ dckr_oat_", 20),  # Docker
    *_families("fo1_ fm2_ FlyV1", 30, r"[A-Za-z0-9_+/=,\-]"),  # Fly.io
    *_families("AGE-SECRET-KEY-1", 40, _ALPHANUMERIC),
    *_families("LTAI", 12, _ALPHANUMERIC),  # Alibaba Cloud
    *_families("AKID", 30, _ALPHANUMERIC),  # Tencent Cloud
    *_families("pat-na1- pat-eu1- figd_ rdme_ shippo_live_ pul- CCIPAT_ duffel_live_ EZAK", 20),
    *_families("eyJ", 30, _DOTTED),  # JSON web tokens
)

__all__ = ["FAMILIES", "Family"]
