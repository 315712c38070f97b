"""Proofs about policy files: what holds for every request, not for those that were tried."""

from __future__ import annotations

from ringfence.policy.prove.invariants import Counterexample, Proof, check_invariants, prove

__all__ = ["Counterexample", "Proof", "check_invariants", "prove"]
