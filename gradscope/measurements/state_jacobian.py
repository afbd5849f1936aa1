"""The dense state Jacobian of one step, for those who want it."""

from __future__ import annotations

from torch import Tensor, nn

from gradscope.measurements.conditions import check_shape, linearize, measurement
from gradscope.measurements.jacobian_spectrum import checked_steps


@measurement
def state_jacobian(model: nn.Module, x: Tensor, step: int) -> Tensor:
    """J_t = ∂s_t/∂s_{t−1} at one step of the trajectory that an input drives.

    The state is one vector: layer after layer, branch after branch, block after block, complex numbers as pairs.

    Args:
        model: A recurrent model, or a module that is one for :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        step: t, from 1 to the length.

    Returns:
        ``(batch, n, n)`` float64 on the CPU.

    Raises:
        NoRecurrentState: The model has no recurrent state (a transformer, a sequence module).
        UsageError: A step outside the sequence, or inputs that do not fit.

    Cost:
        A forward pass up to the step; n² numbers.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=1, hidden_size=4)
        >>> x = gradscope.make_inputs("white", batch=1, length=3, input_size=1)
        >>> bool((gradscope.state_jacobian(model, x, step=2)[0] == model.A).all())
        True
    """
    check_shape(x)
    (step,) = checked_steps([step], x.shape[1])
    return linearize(model, x[:, :step]).matrix(step)
