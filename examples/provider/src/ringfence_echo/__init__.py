"""A provider as an outsider would write it."""
