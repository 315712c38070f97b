"""Which models answered at each recipient: a policy may have named another one yesterday."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ringfence.privacy.audit.summary import reached

if TYPE_CHECKING:
    from ringfence.privacy.audit import AuditRecord
    from ringfence.privacy.audit.summary import Place, Summary


class Models:
    """Requests by `provider/model`, for each recipient on its ring, as the receipts name them."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Counter[str]] = {}

    def noted(self, records: Iterable[AuditRecord]) -> Iterator[AuditRecord]:
        """The same records; what each says of a model is counted as it passes."""
        for record in records:
            self._note(record)
            yield record

    def _note(self, record: AuditRecord) -> None:
        receipt = record.receipt
        try:
            # An attempt that reached nobody counts nowhere else in the report.
            names = {str(one["recipient"]): str(one["ring"]) for one in reached(receipt)}
            recipient, ran = str(receipt["recipient"]), f"{receipt['provider']}/{receipt['model']}"
        except (AttributeError, LookupError, TypeError):
            return  # one that is not of this version, which the summary counts
        if recipient in names:
            self._counts.setdefault((recipient, names[recipient]), Counter())[ran] += 1

    def of(self, place: Place) -> Counter[str]:
        """The models of one recipient, and how many requests each had."""
        return self._counts.get((place.name, place.ring), Counter())

    def document(self, summary: Summary) -> dict[str, Any]:
        """The summary as JSON data, with `models` beside the `model` that each recipient had last."""
        document = summary.as_dict()
        for place, told in zip(summary.recipients(), document["recipients"], strict=True):
            told["models"] = dict(self.of(place))
        return document


__all__ = ["Models"]
