"""What crosses between proxy and control, and nothing else."""
