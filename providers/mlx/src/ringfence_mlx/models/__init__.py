"""Models on this machine: known by name, found, fetched, converted, checked. Nothing here imports MLX into the app."""
