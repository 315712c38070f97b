"""The one way out to the network: clients that refuse what no grant and no policy lets through (invariant 4).

httpx2 is imported when a recipient with a network is first used, and not before.
"""

from ringfence.transport.clients import Clients
from ringfence.transport.network import Network

__all__ = ["Clients", "Network"]
