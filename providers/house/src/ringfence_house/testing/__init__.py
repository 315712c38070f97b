"""Doubles for tests of the house ring: `HouseServer` is a whole house on loopback, which can also misbehave.

Everything in it is a development house: its own CA, its own repository, keys in memory. Nothing here is used outside of
tests, and no trust file of one is good for anything else.
"""

from ringfence_house.testing.fleet import Fleet, Machine
from ringfence_house.testing.script import RESET, Inside, Outside, Script
from ringfence_house.testing.server import HouseServer, Received

__all__ = ["RESET", "Fleet", "HouseServer", "Inside", "Machine", "Outside", "Received", "Script"]
