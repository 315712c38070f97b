"""The process that runs a model. Only `python -m ringfence_mlx.worker` imports what needs MLX; the app never does."""
