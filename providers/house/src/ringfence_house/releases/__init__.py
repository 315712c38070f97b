"""Which releases and devices may serve now: a signed repository (TUF), read by clients and kept by operators."""
