"""Linear Recurrent Unit (Orvieto et al. 2023, arXiv:2303.06349): h_t = λ ⊙ h_{t−1} + exp(γ_log) ⊙ B x_t."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups, grouped
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.errors import UsageError


@dataclass(frozen=True)
class TimeConstants(MemoryDial):
    """ν of every unit: time constants spread over a factor of two about the median, in the order they had.

    Of an even number of units the two in the middle are equal, so that every definition of the median agrees.

    Attributes:
        nu_log: |λ| = exp(−e^ν).
        gamma_log: Follows as at first, log √(1 − |λ|²).
    """

    nu_log: Tensor
    gamma_log: Tensor

    def turn(self, modulus: float) -> None:
        """Sets ν of every unit, and γ."""
        nu, units = self.nu_log.detach(), len(self.nu_log)
        above = torch.linspace(0, math.log(2), (units + 1) // 2, dtype=nu.dtype, device=nu.device)
        spread = torch.cat([-above.flip(0), above[units % 2 :]])
        nu[nu.argsort()] = math.log(-math.log(modulus)) + spread
        self.gamma_log.detach().copy_(0.5 * torch.log(-torch.expm1(-2 * torch.exp(nu))))

    def moduli(self, x: Tensor) -> Tensor:
        """|λ|, whatever the inputs are."""
        return torch.exp(-torch.exp(self.nu_log))


class LRU(Recurrence):
    """Complex diagonal linear recurrence with ring initialisation.

    λ = exp(−e^ν + i e^θ), |λ| uniform on the area of the ring r_min ≤ |λ| ≤ r_max, arg λ uniform in [0, max_phase];
    γ_log is learned and starts at log √(1 − |λ|²);  y_t = Re(C h_t), and + D ⊙ x_t where
    ``input_size == hidden_size`` (the paper's block, whose input and output widths are one).
    B and C are stored as real and imaginary parts. J_t = D(λ).
    """

    memory_law = ("exp-exp", "sqrt")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 6.28,
    ) -> None:
        super().__init__()
        if r_min >= r_max:
            raise UsageError(f"lru: r_min={r_min:g} should be below r_max={r_max:g}.")
        self.input_size = input_size
        self.hidden_size = self.output_size = hidden_size
        self.state_spec = (Block("h", (hidden_size,), is_complex=True),)
        u_modulus, u_phase = initializer.unit_uniform(hidden_size), initializer.unit_uniform(hidden_size)
        squared = u_modulus * (r_max**2 - r_min**2) + r_min**2
        self.nu_log = nn.Parameter(torch.log(-0.5 * torch.log(squared)))
        self.theta_log = nn.Parameter(torch.log(max_phase * u_phase))
        self.gamma_log = nn.Parameter(0.5 * torch.log1p(-squared))
        b_std, c_std = 1 / math.sqrt(2 * input_size), 1 / math.sqrt(hidden_size)
        self.B_re = initializer.normal(hidden_size, input_size, std=b_std)
        self.B_im = initializer.normal(hidden_size, input_size, std=b_std)
        self.C_re = initializer.normal(hidden_size, hidden_size, std=c_std)
        self.C_im = initializer.normal(hidden_size, hidden_size, std=c_std)
        if input_size == hidden_size:
            self.D = initializer.normal(hidden_size)
        self.symmetry = self._symmetry()

    def _symmetry(self) -> Symmetry:
        """The eigenvalues; D ties the outputs to the inputs."""
        outputs = "input" if self.input_size == self.hidden_size else "output"
        axes = dict.fromkeys(("nu_log", "theta_log", "gamma_log"), "hidden")
        axes |= {"B_re": "hidden input", "B_im": "hidden input"}
        axes |= {"C_re": f"{outputs} hidden", "C_im": f"{outputs} hidden"}
        axes |= {"D": outputs} if outputs == "input" else {}
        sizes = {"input": self.input_size, "hidden": self.hidden_size, outputs: self.output_size}
        return Symmetry(axes, sizes, outputs=outputs)

    def prepare(self, x: Tensor) -> Prepared:
        """λ and exp(γ_log) ⊙ B x_t."""
        modulus, phase = torch.exp(-torch.exp(self.nu_log)), torch.exp(self.theta_log)
        gamma = torch.exp(self.gamma_log).unsqueeze(-1)
        b = torch.complex(x @ (gamma * self.B_re).t(), x @ (gamma * self.B_im).t())
        return {"a": torch.polar(modulus, phase).expand_as(b), "b": b, "x": x}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """h_t = λ ⊙ h_{t−1} + exp(γ_log) ⊙ B x_t."""
        return {"h": u["a"] * s["h"] + u["b"]}

    def readout(self, s: State, u: Prepared) -> Tensor:
        """Re(C h_t) + D ⊙ x_t."""
        h = s["h"]
        y = h.real @ self.C_re.t() - h.imag @ self.C_im.t()
        return y + self.D * u["x"] if self.input_size == self.hidden_size else y

    @property
    def memory_dial(self) -> MemoryDial:
        """ν of every unit."""
        return TimeConstants(self.nu_log, self.gamma_log)

    @property
    def memory_groups(self) -> MemoryGroups:
        """ν is the magnitude, θ the angle, γ and B the input."""
        rest = tuple(name for name, _ in self.named_parameters() if name[0] in "CD")
        return grouped(magnitude=("nu_log",), angle=("theta_log",), input=("gamma_log", "B_re", "B_im"), rest=rest)
