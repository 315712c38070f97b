"""Policy: file → model → compiled → decision. Pure; no I/O but reading the named file."""
