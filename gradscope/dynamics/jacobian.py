"""J_t = ∂s_t/∂s_{t−1} by autograd, over the real numbers of the state: the definition, for every cell."""

from __future__ import annotations

from torch import Tensor
from torch.func import jacrev, vmap

from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import as_state, as_vector
from gradscope.dynamics.decomposed_cells import DecomposedCells
from gradscope.dynamics.segments import SegmentStates


def jacobians_by_autograd(model: Recurrence, here: SegmentStates) -> Tensor:
    """``vmap(jacrev(step))`` over the steps and samples of a segment, ``(steps, batch, n, n)``."""

    def jacobian(vector: Tensor, u: dict[str, Tensor], time: Tensor) -> Tensor:
        batched = {name: value.unsqueeze(0) for name, value in u.items()}

        def advance(before: Tensor) -> Tensor:
            new = model.step(as_state(before.unsqueeze(0), model.state_spec), batched, time)
            return as_vector({block.name: new[block.name] for block in model.state_spec})[0]

        found: Tensor = jacrev(advance)(vector)
        return found

    before = as_vector({block.name: here.before[block.name] for block in model.state_spec}, batch_dims=2)
    with DecomposedCells():
        return vmap(vmap(jacobian, in_dims=(0, 0, None)))(before, here.u, here.times).detach()
