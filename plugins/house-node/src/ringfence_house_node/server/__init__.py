"""The ASGI server: keys, evidence, the sealed endpoint, limits."""
