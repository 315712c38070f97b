"""`ProviderConformance`: every rule of the provider interface as a test, for any provider."""

from __future__ import annotations

from typing import ClassVar

from ringfence.testing.kit.base import Subject
from ringfence.testing.kit.rules.answers import AnswerRules
from ringfence.testing.kit.rules.failures import FailureRules
from ringfence.testing.kit.rules.grants import GrantRules
from ringfence.testing.kit.rules.lifecycle import LifecycleRules
from ringfence.testing.kit.rules.media import MediaRules
from ringfence.testing.kit.rules.recipients import RecipientRules
from ringfence.testing.kit.rules.secrecy import SecrecyRules
from ringfence.testing.kit.rules.settings import SettingRules
from ringfence.testing.kit.rules.surroundings import SurroundingRules
from ringfence.testing.kit.rules.tools import ToolRules
from ringfence.testing.kit.sealed import check, rules_of


# pytest runs the tests of the last base first.
class ProviderConformance(
    SurroundingRules,
    SecrecyRules,
    LifecycleRules,
    GrantRules,
    FailureRules,
    RecipientRules,
    MediaRules,
    ToolRules,
    SettingRules,
    AnswerRules,
):
    """Subclass it in a test module, and run pytest. Each test is one rule; its docstring says which.

    What is tested follows from the capabilities that the manifest and the model's card declare: a declared one must
    work, any other must be refused before anything is sent. No test can be replaced, marked or skipped; one that is
    known to fail is listed in `xfail`, with the reason, and counts as a fault once it passes.

        class TestConformance(ProviderConformance):
            provider = MyProvider
            model = "my-model"

            def backend(self):
                return WireBackend(reply)
    """

    _kit_is_the_base: ClassVar[bool] = True

    def __init_subclass__(cls, **settings: object) -> None:
        """Checks the author's class.

        Raises:
            TypeError: it changes a rule.
        """
        super().__init_subclass__(**settings)
        check(cls, ProviderConformance)
        if cls.backend is Subject.backend:
            for name in network_rules():
                # pytest collects what it can call.
                type.__setattr__(cls, name, None)


def rules() -> dict[str, str]:
    """Every rule of the kit by the name of its test: what holds, in a sentence."""
    return rules_of(ProviderConformance)


def network_rules() -> frozenset[str]:
    """The rules that only a provider with a network gets."""
    return frozenset(
        name for name in rules() if getattr(getattr(ProviderConformance, name), "_kit_needs_backend", False)
    )


__all__ = ["ProviderConformance", "network_rules", "rules"]
