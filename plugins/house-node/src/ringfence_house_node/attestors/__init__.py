"""Where a node gets the key that signs its evidence, and who endorses that key."""

from ringfence_house_node.attestors.attestor import Attestor

__all__ = ["Attestor"]
