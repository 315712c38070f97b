"""Detectors that ask presidio-analyzer: its pattern recognisers, and its spaCy engine where a model is installed.

`patterns` and `reading` are the two sorts, `kinds` names them as the default set does, `vendor` keeps presidio quiet.
Presidio is imported when a policy that names a kind is first used; neither it nor spaCy ever asks the network.
"""
