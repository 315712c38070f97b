"""Detectors of structured identifiers, one module a kind: `email`, `phone`, `credit_card`, `iban`.

Each module holds a `DETECTOR`. They are pure and thread-safe, take time linear in the text, and see it as
`ringfence_detectors.plain` writes it: with digits, dashes and spaces of every script, and without invisible characters.
"""
