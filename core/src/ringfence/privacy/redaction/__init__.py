"""Redaction: one point at which a payload loses what its recipient may not see, and the way back for the user."""
