"""From configurations to sweeps."""

from gradscope.plan.cells import Plan
from gradscope.plan.comparison import plan_comparison
from gradscope.plan.sensitivity import plan_sensitivity
from gradscope.plan.spectrum import plan_spectrum

__all__ = ["Plan", "plan_comparison", "plan_sensitivity", "plan_spectrum"]
