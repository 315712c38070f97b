"""Detectors of contact data, payment, identity numbers, secrets and Chinese names; the README lists the kinds.

They are pure and thread-safe, take time linear in the text, and see it as `ringfence_detectors.plain` writes it: with
digits, dashes and spaces of every script, and without invisible characters. Those of one scan share that plain text.
"""
