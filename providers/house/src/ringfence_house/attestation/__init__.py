"""What a node says of itself, and what has to be true before anything is sealed for it."""
