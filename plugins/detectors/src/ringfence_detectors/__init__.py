"""Ringfence detectors for structured identifiers."""
