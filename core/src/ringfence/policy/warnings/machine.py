"""Plugins that a policy names and this machine lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ringfence.policy.document import Document
from ringfence.policy.faults import did_you_mean, listed, quoted
from ringfence.policy.place import NOWHERE, Position

_PROVIDERS = "ringfence.providers"
_DETECTORS = "ringfence.detectors"
_DEFAULT_KINDS = (  # noqa: SIM905  (a list would be 40 lines)
    "email phone credit_card iban secret passport date_of_birth zh_person_name cn_resident_id hk_id tw_id "
    "sg_nric jp_my_number kr_rrn in_aadhaar in_pan au_tfn us_ssn us_itin us_ein ca_sin br_cpf uk_nino uk_nhs "
    "de_tax_id fr_nir es_dni it_codice_fiscale nl_bsn pl_pesel ch_ahv vat_id bic crypto_address ip_address "
    "mac_address vin"
).split()
_TYPO_RATIO = 0.75
"""Beneath it, two kinds of almost the same length are two kinds and not one misspelt."""


@dataclass(frozen=True, slots=True)
class Bringing:
    """A package of ours that brings a detector, and how it is installed from the clone."""

    package: str
    install: str


_BRINGING = {
    **dict.fromkeys(_DEFAULT_KINDS, Bringing("ringfence-detectors", "pip install './plugins/detectors'")),
    **dict.fromkeys(
        ("person_name", "street_address", "location", "postal_code", "personal_number"),
        Bringing("ringfence-detector-ner", "pip install './plugins/ner[rampart]'"),
    ),
    **dict.fromkeys(
        ("nationality", "organisation"), Bringing("ringfence-detector-presidio", "pip install './plugins/presidio'")
    ),
}
"""The kinds of our plugins, and who brings each."""


def not_installed(document: Document) -> Iterator[tuple[Position, str]]:
    """The providers and detectors that are not installed, and what follows."""
    providers = _installed(_PROVIDERS)
    for name, recipient in document.recipients.items():
        if recipient.provider not in providers:
            hint = did_you_mean(recipient.provider, providers)
            yield (
                document.places.get(f"recipients.{name}", NOWHERE),
                f"provider {quoted(recipient.provider)} is not installed, so {quoted(name)} is unavailable.{hint}",
            )
    detectors = installed_kinds()
    for name, label in document.labels.items():
        missing = [kind for kind in label.detect if kind not in detectors]
        if missing:
            hint = ways_out(missing, detectors)
            yield (
                document.places.get(f"labels.{name}", NOWHERE),
                f"no detector for {listed(missing)} is installed: every text carries {quoted(document.unknown)}.{hint}",
            )


def bringing(kind: str) -> Bringing | None:
    """Who brings the detector `kind`; `None` where none of ours does."""
    return _BRINGING.get(kind)


def misspelt(kind: str, installed: AbstractSet[str]) -> str | None:
    """The kind that `kind` is a slip of the keys for, among `installed` and ours.

    INVARIANT: the like of another language or country is never offered, nor is a word that is merely similar: who
    followed that advice would have a rule that passes over what it is there to find.
    """
    if kind in _BRINGING:
        return None
    import difflib  # noqa: PLC0415  (only a fault needs it)

    alike = [
        known
        for known in sorted({*installed, *_BRINGING})
        if abs(len(known) - len(kind)) <= 1 and _country(known) == _country(kind)
    ]
    found = difflib.get_close_matches(kind, alike, n=1, cutoff=_TYPO_RATIO)
    return found[0] if found else None


def _country(kind: str) -> str:
    """`uk` of `uk_nhs`; "" where the kind is of no language or country."""
    first, _, rest = kind.partition("_")
    return first if rest and len(first) == 2 else ""  # noqa: PLR2004  (as countries and languages are written)


def ways_out(missing: Sequence[str], installed: AbstractSet[str]) -> str:
    """What to do about kinds that are not installed: a sentence each, with a space before it, as far as known."""
    return "".join(dict.fromkeys(_way_out(kind, installed, alone=len(missing) == 1) for kind in missing))


def _way_out(kind: str, installed: AbstractSet[str], *, alone: bool) -> str:
    found = bringing(kind)
    if found is not None:
        return f" {'It' if alone else quoted(kind)} comes with {found.package}: {found.install}."
    meant = misspelt(kind, installed)
    if meant is None:
        return ""
    return f" Did you mean {quoted(meant)}{'' if alone else f' for {quoted(kind)}'}?"


def installed_kinds() -> frozenset[str]:
    """The kinds of the detectors that are installed; none of them is imported."""
    return _installed(_DETECTORS)


def _installed(group: str) -> frozenset[str]:
    """The names of installed plugins; none of them is imported."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (64 ms, and only a check needs it)

    return frozenset(entry.name for entry in entry_points(group=group))


__all__ = ["Bringing", "bringing", "installed_kinds", "misspelt", "not_installed", "ways_out"]
