"""Ringfence: one interface to models on three rings of trust."""
