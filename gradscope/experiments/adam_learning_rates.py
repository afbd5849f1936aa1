"""The learning rate of each coordinate that Adam ends up with near an optimum of a linear filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.numerics.random_streams import random_stream

RELATIVE_OFFSET = 1e-3  # of every parameter, where Adam starts
EPSILON = 1e-8  # torch's default

Response = Callable[[Tensor], Tensor]  # flat parameters (P,) to the impulse response (length,)


@dataclass(frozen=True)
class AdamLearningRates:
    """What a short run leaves behind.

    Attributes:
        learning_rates: lr/(√v̂ + ε) of each coordinate, ``(P,)`` float64.
        last_loss: The loss of the last batch; it says whether the run stayed near the optimum.
    """

    learning_rates: Tensor
    last_loss: float


def adam_learning_rates(
    response: Response, optimum: Tensor, length: int, seed: int, steps: int, learning_rate: float, batch: int
) -> AdamLearningRates:
    """Runs torch's Adam from θ* ⊙ (1 + 10⁻³ N(0, 1)) on fresh white batches against the filter at θ*.

    The loss is ½ the mean over sequences and steps of (y_t − y*_t)². Momentum is left out of what is returned: the
    authors feed a gradient of ones into the optimiser instead, which saturates at 3.16 lr and can turn negative.

    Args:
        response: The filter as a function of its parameters.
        optimum: θ*, ``(P,)`` float64.
        length: T, that of the response and of the sequences.
        seed: The start is from the stream ``probes``, the batches are from ``inputs``.
        steps: How many, on one batch each.
        learning_rate: Constant.
        batch: Sequences of a batch.

    Source:
        Kingma & Ba (2015); Zucchet & Orvieto (2024), arXiv:2405.21064, figure 4.
    """
    offset = torch.from_numpy(random_stream("probes", seed).standard_normal(len(optimum)))
    inputs, teacher_response = random_stream("inputs", seed), response(optimum)
    parameters = (optimum * (1 + RELATIVE_OFFSET * offset)).requires_grad_()
    adam = torch.optim.Adam([parameters], lr=learning_rate, eps=EPSILON, foreach=False)
    for _ in range(steps):
        x = torch.from_numpy(inputs.standard_normal((batch, length)))
        loss = 0.5 * (_filtered(response(parameters) - teacher_response, x) ** 2).mean()
        (parameters.grad,) = torch.autograd.grad(loss, parameters)
        adam.step()
    second_moment = adam.state[parameters]["exp_avg_sq"] / (1 - adam.defaults["betas"][1] ** steps)
    return AdamLearningRates(learning_rate / (second_moment.sqrt() + EPSILON), float(loss.detach()))


def _filtered(response: Tensor, x: Tensor) -> Tensor:
    """y_t = Σ_n k_n x_{t−n} for sequences ``(batch, length)``."""
    double = 2 * x.shape[-1]  # circular convolution wraps beyond that
    spectrum = torch.fft.rfft(response, n=double) * torch.fft.rfft(x, n=double)
    filtered: Tensor = torch.fft.irfft(spectrum, n=double)[..., : x.shape[-1]]
    return filtered
