"""The plugin lock: which installed plugins may be loaded, as they were when a person looked at them.

A file names every approved distribution with its version, a digest of its files and the innermost ring of its
providers. With a lock in force, a plugin that is not in it or has changed is not loaded, and nothing of it is
imported to find that out. It covers a plugin's own files, not those of the packages that the plugin depends on.
"""

from ringfence.lock.lock import NO_LOCK, Lock, default_lock_path, find_lock

# Writing and comparing a lock is in the modules beside: `approval`, `document`, `fingerprint`, `plugins`.
__all__ = ["NO_LOCK", "Lock", "default_lock_path", "find_lock"]
