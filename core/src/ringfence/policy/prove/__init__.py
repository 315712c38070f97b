"""Proofs about policy files: what holds for every request, not for those that were tried."""

from __future__ import annotations

from ringfence.policy.prove.comparison import Comparison, Example, Row, compare
from ringfence.policy.prove.diagram import TooHard
from ringfence.policy.prove.invariants import LAWS, Counterexample, Proof, check_invariants, prove
from ringfence.policy.prove.words import COVERS

__all__ = [
    "COVERS",
    "LAWS",
    "Comparison",
    "Counterexample",
    "Example",
    "Proof",
    "Row",
    "TooHard",
    "check_invariants",
    "compare",
    "prove",
]
