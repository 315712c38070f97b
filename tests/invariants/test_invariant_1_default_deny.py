"""Invariant 1: default deny. However something that is needed for a yes fails, no recipient gets a byte."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.invariants.support import Mail, Recipients, cel, detectors, law, run, state

from ringfence.errors import PolicyError, PolicyInvalid, RingfenceError
from ringfence.policy import Policy, read_policy
from ringfence.privacy.detector import Hit
from ringfence.privacy.ledger_names import LEDGER as _LEDGER  # placeholder

POLICY = ""
