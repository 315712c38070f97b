"""Proofs about policy files: what holds for every request, not for those that were tried.

`invariants` proves what one file asks for, `comparison` whether an edit only narrows.
"""

from __future__ import annotations

from ringfence.policy.prove.diagram import TooHard
from ringfence.policy.prove.invariants import LAWS, Counterexample, Proof, check_invariants, prove
from ringfence.policy.prove.words import COVERS

__all__ = ["COVERS", "LAWS", "Counterexample", "Proof", "TooHard", "check_invariants", "prove"]
