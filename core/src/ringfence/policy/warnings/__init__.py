"""What is not wrong with a policy but will not work as it may be meant: found by `policy check`, never at run time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ringfence.policy.document import Document
from ringfence.policy.faults import Fault, Faults
from ringfence.policy.place import NOWHERE, Position
from ringfence.policy.reach import reached
from ringfence.policy.warnings.declared import declared_in_vain, silent
from ringfence.policy.warnings.machine import not_installed
from ringfence.policy.warnings.recipients import recipients_in_vain
from ringfence.policy.warnings.routes import routes_in_vain
from ringfence.policy.warnings.rules import rules_in_vain
from ringfence.policy.warnings.tools import tools_in_vain


def find_warnings(document: Document) -> tuple[Fault, ...]:
    """The warnings for `document` on this machine, in file order."""
    found = Faults()
    if not document.flow:
        # All that could be said of labels, recipients and routes follows from this.
        for at, message in not_installed(document):
            found.add(at, message)
        found.add(
            document.places.get("flow", NOWHERE), "flow: is empty: nothing is allowed, and every request is refused."
        )
        return found.in_file_order()
    reach = reached(document)
    for at, message in chain(
        not_installed(document),
        declared_in_vain(document, reach),
        rules_in_vain(document),
        tools_in_vain(document),
        recipients_in_vain(document, reach),
        routes_in_vain(document, reach),
    ):
        found.add(at, message)
    return found.in_file_order()


def find_hints(document: Document) -> tuple[Fault, ...]:
    """What a policy does well to have and lacks, and what may be overlooked in it; no rule is at fault."""
    return tuple(Fault(at, message) for at, message in _hints(document))


def _hints(document: Document) -> Iterator[tuple[Position, str]]:
    for name, silence in silent(document, reached(document)):
        # Who writes declare: true has thought of it; a label that says nothing gets a warning.
        if document.labels[name].declare:
            yield document.places.get(f"labels.{name}", NOWHERE), silence
    if "time" in document.places:
        line = document.places["time"].line
        which = "a condition on time" if line is None else f"the condition on time in line {line}"
        yield (
            document.places["time"],
            f"{which} is in UTC, since it names no zone. Write the zone of your clocks, such as zone: Europe/Zurich.",
        )
    if not document.tests:
        yield NOWHERE, "no tests: nothing notices when an edit changes where a request goes. Add a section tests:."
    beyond = [recipient for recipient in document.recipients.values() if recipient.ring == "partner"]
    if beyond and not document.invariants:
        never = "never: {labels: [LABEL], to: [partner]}"
        yield (
            NOWHERE,
            f"no invariants: nothing is proved of what reaches a partner. Add a section invariants: ({never}).",
        )


__all__ = ["find_hints", "find_warnings"]
