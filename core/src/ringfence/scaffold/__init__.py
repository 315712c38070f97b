"""The scaffold: a provider plugin that works and passes the conformance kit, for an author to go on from."""

from ringfence.scaffold.making import KINDS, Kind, check_name, make_provider, rendered

__all__ = ["KINDS", "Kind", "check_name", "make_provider", "rendered"]
