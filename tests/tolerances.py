"""Every tolerance of the tests, by dtype; not loosened to get a green run."""

import torch

# Decades: how far two log10 norms of the same quantity may lie apart. 1e-10 relative is 4.3e-11 decades.
DECADES = {torch.float64: 4.3e-11, torch.float32: 2e-3}
RELATIVE = {torch.float64: 1e-10, torch.float32: 1e-5}
SAME_DECADES = 4.3e-13  # the same measurement with another neighbour or thread count, float64
EIGENVALUE = 1e-8  # absolute, of a diagonalisable J_t whose entries are of order one, float64
