"""The curse of memory in closed form: pure float64 functions of λ, the input's autocorrelation and the horizon."""

from gradscope.theory.asymptotics import d2omega_exponent, domega_exponent, state_exponent
from gradscope.theory.autocorrelation import Autocorrelation, checked_series, estimate
from gradscope.theory.gates import GRUPowers, LSTMPowers, gru_powers, lstm_powers
from gradscope.theory.landscape import LandscapePoint, landscape
from gradscope.theory.moments import Moments, moments, second_sensitivity, sensitivity, state_power
from gradscope.theory.normalizations import (
    NORMALIZATIONS,
    d2omega_power,
    domega_power,
    gamma,
    gamma_slope,
    omega_factors,
)
from gradscope.theory.parametrizations import PARAMETRIZATIONS, Parametrization
from gradscope.theory.stationarity import stationarity_problem

__all__ = [
    "NORMALIZATIONS",
    "PARAMETRIZATIONS",
    "Autocorrelation",
    "GRUPowers",
    "LSTMPowers",
    "LandscapePoint",
    "Moments",
    "Parametrization",
    "checked_series",
    "d2omega_exponent",
    "d2omega_power",
    "domega_exponent",
    "domega_power",
    "estimate",
    "gamma",
    "gamma_slope",
    "gru_powers",
    "landscape",
    "lstm_powers",
    "moments",
    "omega_factors",
    "second_sensitivity",
    "sensitivity",
    "state_exponent",
    "state_power",
    "stationarity_problem",
]
