"""`DetectorConformance`: every rule of the detector interface as a test, for any detector."""

from __future__ import annotations

from typing import ClassVar

from ringfence.testing.kit.detector_subject import DetectorSubject
from ringfence.testing.kit.rules.detector_hits import HitRules
from ringfence.testing.kit.rules.detector_secrecy import DetectorSecrecyRules
from ringfence.testing.kit.rules.detector_texts import TextRules
from ringfence.testing.kit.rules.detector_time import TimeRules
from ringfence.testing.kit.sealed import check

NO_OBJECT = "and must be an object of it"
"""What is said of a class in the place of a detector; the object to write instead follows."""


# pytest runs the tests of the last base first.
class DetectorConformance(TimeRules, DetectorSecrecyRules, TextRules, HitRules):
    """Subclass it in a test module, and run pytest. Each test is one rule; its docstring says which.

    The detector runs in a process of its own: one that hangs fails the rule, and the next one runs. No test can be
    replaced, marked or skipped; one that is known to fail is listed in `xfail`, with the reason.

        class TestConformance(DetectorConformance):
            detector = DETECTOR
            kind = "membership"
            finds = {"Your number is MB-1234.": ["MB-1234"]}
            passes_over = ["MB-12 is a road."]
    """

    _kit_is_the_base: ClassVar[bool] = True

    def __init_subclass__(cls, **settings: object) -> None:
        """Checks that no rule is changed, and leaves out those that have nothing to be about.

        Raises:
            TypeError: one is, or `detector` is a class.
        """
        super().__init_subclass__(**settings)
        check(cls, DetectorConformance)
        detector = getattr(cls, "detector", None)
        if isinstance(detector, type):
            raise TypeError(f"the detector is the class {detector.__name__}, {NO_OBJECT}: {detector.__name__}()")
        about = {
            "test_what_its_author_says_is_found": cls.finds,
            "test_what_its_author_says_is_nothing_is_passed_over": cls.passes_over,
            "test_what_was_prepared_gives_the_same_hits": getattr(detector, "prepare", None),
        }
        for name, what in about.items():
            if not what:
                # pytest collects what it can call.
                type.__setattr__(cls, name, None)


__all__ = ["NO_OBJECT", "DetectorConformance", "DetectorSubject"]
