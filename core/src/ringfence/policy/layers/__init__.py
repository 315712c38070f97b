"""Layers: files that a policy includes, or that an administrator puts over it. A layer only narrows.

A layer is a policy file with rules and without declarations, or an Apple device profile. Every layer is combined with
what is there already so that nothing is allowed that was not: its denies are added to the denies, every layer that has
allows must cover every label, and of two ways to ask for consent the stricter holds.
"""
