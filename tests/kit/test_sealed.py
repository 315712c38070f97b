"""An author says what is known to be broken, and changes no rule otherwise."""

from __future__ import annotations

from collections.abc import Callable
from types import new_class

import pytest
from tests.kit.broken.whole import Whole

from ringfence.request import Settings
from ringfence.testing.kit import ProviderConformance, rules
from ringfence.testing.kit.conformance import network_rules
from ringfence.testing.kit.material import SETTINGS


def replaced() -> object:
    class Replaced(ProviderConformance):
        def test_usage_adds_up(self) -> None:
            """Nothing."""

    return Replaced


def replaced_by_a_part() -> object:
    class Part:
        test_usage_adds_up = None

    class Replaced(Part, ProviderConformance):  # type: ignore[misc]
        pass

    return Replaced


def replaced_support() -> object:
    class Replaced(ProviderConformance):
        @classmethod
        def setup_class(cls) -> None:
            """Nothing."""

    return Replaced


def marked_inside() -> object:
    class Marked(ProviderConformance):
        pytestmark = pytest.mark.skip

    return Marked


def marked_outside() -> object:
    @pytest.mark.skip
    class Marked(ProviderConformance):
        pass

    return Marked


def hidden() -> object:
    class Hidden(ProviderConformance):
        __test__ = False

    return Hidden


def replaced_later() -> None:
    class Later(ProviderConformance):
        pass

    Later.test_usage_adds_up = None  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize(
    "change",
    [replaced, replaced_by_a_part, replaced_support, marked_inside, marked_outside, hidden, replaced_later],
    ids=lambda change: change.__name__,
)
def test_a_rule_cannot_be_changed(change: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"say xfail = \{"):
        change()


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"test_that_is_not_there": "why"}, "there is no such test"),
        ({"test_usage_adds_up": " "}, "gives no reason"),
        (["test_usage_adds_up"], "maps names of tests to reasons"),
    ],
)
def test_a_failure_is_expected_with_a_reason(expected: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        new_class("Odd", (ProviderConformance,), exec_body=lambda body: body.update(xfail=expected))


def test_a_provider_with_hosts_is_tested_with_a_backend() -> None:
    class Bare(ProviderConformance):
        provider = Whole
        model = "whole-1"

    with pytest.raises(AssertionError, match="define backend"):
        Bare.setup_class()


def test_every_rule_says_what_holds() -> None:
    assert len(rules()) > 50
    for name, says in rules().items():
        assert says.endswith("."), name
        assert len(says) < 160, name


def test_rules_of_the_network_are_not_for_a_provider_without_one() -> None:
    class Local(ProviderConformance):
        provider = Whole
        model = "whole-1"

    assert network_rules()
    assert all(getattr(Local, name) is None for name in network_rules())


def test_every_setting_has_a_value_to_be_tested_with() -> None:
    assert set(SETTINGS) == set(Settings.__slots__)
    Settings(**SETTINGS)
