"""The Chat Completions API, which most compatible servers speak."""
