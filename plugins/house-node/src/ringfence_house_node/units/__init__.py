"""Units of the system's own supervisors, as data."""
