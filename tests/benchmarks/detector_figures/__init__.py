"""What the detectors find and miss on public data, which is read from a folder and never kept here."""
