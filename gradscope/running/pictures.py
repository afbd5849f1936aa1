"""Which pictures belong to which command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.figure import Figure

from gradscope.commands.compare.pictures import plot_gradient_norms, plot_length_sweep
from gradscope.commands.sensitivity.depth_pictures import plot_depth
from gradscope.commands.sensitivity.hessian_pictures import plot_hessian
from gradscope.commands.sensitivity.landscape_pictures import plot_landscape
from gradscope.commands.sensitivity.pictures import plot_mitigation, plot_sensitivity
from gradscope.commands.spectrum.pictures import plot_eigenvalues, plot_lyapunov, plot_products, plot_temporal

Frames = Mapping[str, pd.DataFrame]


def _comparison(tables: Frames) -> dict[str, Figure]:
    return {
        "gradient_norms": plot_gradient_norms(tables["gradients"], tables["summary"]),
        "length_sweep": plot_length_sweep(tables["summary"]),
    }


def _spectrum(tables: Frames) -> dict[str, Figure]:
    pictures: dict[str, Figure] = {}
    if len(tables["eigenvalues"]):
        pictures["eigenvalues"] = plot_eigenvalues(
            tables["eigenvalues"], tables["period_eigenvalues"], tables["summary"]
        )
        pictures["lyapunov"] = plot_lyapunov(tables["lyapunov"])
    if len(tables["products"]):
        pictures["products"] = plot_products(tables["products"])
    if len(tables["temporal"]):
        pictures["temporal"] = plot_temporal(tables["temporal"])
    return pictures


def _sensitivity(tables: Frames) -> dict[str, Figure]:
    sensitivity = tables["sensitivity"]
    pictures = {"sensitivity": plot_sensitivity(sensitivity)} if len(sensitivity) else {}
    if (sensitivity["arch"] == "scalar").any():
        pictures["mitigation"] = plot_mitigation(sensitivity, tables["exponents"])
    if len(tables["landscape"]):
        pictures["landscape"] = plot_landscape(tables["landscape"])
    if len(tables["depth"]):
        pictures["depth"] = plot_depth(tables["depth"])
    if len(tables["students"]):
        pictures["hessian"] = plot_hessian(tables["hessian"], tables["coordinates"], tables["students"])
    return pictures


PICTURES: dict[str, Callable[[Frames], dict[str, Figure]]] = {
    "compare": _comparison,
    "spectrum": _spectrum,
    "sensitivity": _sensitivity,
}
