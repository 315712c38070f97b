"""The plugin lock: which installed plugins may be loaded, as they were when a person looked at them.

A file names every approved distribution with its version, a digest of its files and the innermost ring of its
providers. With a lock in force, a plugin that is not in it or has changed is not loaded, and nothing of it is
imported to find that out. It covers a plugin's own files, not those of the packages that the plugin depends on.
"""

from ringfence.lock.approval import approve
from ringfence.lock.document import Approved, lock_text, read_lock, write_lock
from ringfence.lock.fingerprint import fingerprint
from ringfence.lock.lock import NO_LOCK, Lock, changes_since, default_lock_path, find_lock
from ringfence.lock.plugins import DETECTORS, PROVIDERS, Plugin, installed_plugins, normal_name

__all__ = [
    "DETECTORS",
    "NO_LOCK",
    "PROVIDERS",
    "Approved",
    "Lock",
    "Plugin",
    "approve",
    "changes_since",
    "default_lock_path",
    "find_lock",
    "fingerprint",
    "installed_plugins",
    "lock_text",
    "normal_name",
    "read_lock",
    "write_lock",
]
