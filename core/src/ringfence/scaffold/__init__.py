"""The scaffold: a provider or detector that works and passes the conformance kit, for an author to go on from."""

from ringfence.scaffold.making import KINDS, Kind, check_name, distribution, make_plugin, rendered, sort_of

__all__ = ["KINDS", "Kind", "check_name", "distribution", "make_plugin", "rendered", "sort_of"]
