"""What computes the answers, and what keeps it alive."""
