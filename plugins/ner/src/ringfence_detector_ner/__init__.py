"""Detectors that read: a small model says of every word whether it belongs to a name, an address or a number.

`model` runs it, `reading` brings a text to it in windows and its answer back to the text, `kinds` are the detectors.
All detectors of one scan share one reading; nothing of a text outlives the scan.
"""
