"""Values known before are found as if each were sought alone, however many there are and however they overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.privacy.redaction import spans
from ringfence.privacy.redaction.spans import Literals, merged
from ringfence.privacy.redaction.vault import Entry

_LONG = st.text("ab", min_size=5, max_size=9)


def _entries(values: list[str]) -> list[Entry]:
    return [Entry(value=value, labels=frozenset({value}), name="n") for value in values]


@pytest.mark.parametrize("many", [0, 50], ids=["each place looked up", "each value looked up"])
@given(values=st.lists(_LONG, max_size=8, unique=True), said=st.text("ab", max_size=40))
def test_what_is_found_is_what_stands_there_with_all_its_labels(many: int, values: list[str], said: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "_MANY", many)
        found = merged(Literals(_entries(values)).spans(said))
    naive = {
        (start, start + len(value), value)
        for value in values
        for start in range(len(said))
        if said.startswith(value, start)
    }
    covered = {place for span in found for place in range(span.start, span.end)}
    assert covered == {place for start, end, _ in naive for place in range(start, end)}
    for span in found:
        inside = {value for start, end, value in naive if span.start <= start and end <= span.end}
        assert span.labels == inside


@given(value=st.text("aб7李", min_size=1, max_size=4), around=st.text("aб7李 ", max_size=3))
def test_a_value_sought_anywhere_is_found_at_any_length_and_within_words(value: str, around: str) -> None:
    found = merged(Literals((), anywhere=_entries([value])).spans(f"{around}{value}{around}"))
    assert any(span.start <= len(around) and span.end >= len(around) + len(value) for span in found)
