"""The house ring, client side: directory, attestation, sealed requests."""
