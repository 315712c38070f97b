"""Ringfence provider for the partner ring: Gemini, on the vendor's own SDK."""
