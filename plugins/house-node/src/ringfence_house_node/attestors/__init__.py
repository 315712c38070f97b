"""Where a node gets the key that signs its evidence, and who endorses that key."""
