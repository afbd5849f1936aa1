"""What an architecture promises; every measurement depends on this and on nothing else."""
