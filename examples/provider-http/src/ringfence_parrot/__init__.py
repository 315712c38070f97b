"""A Ringfence provider: parrot."""
