"""Facts of the machine the engine runs on: its BLAS and its memory."""
