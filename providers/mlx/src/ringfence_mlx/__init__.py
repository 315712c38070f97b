"""Ringfence provider `mlx`: MLX models on the device ring, each in a supervised process of its own."""
