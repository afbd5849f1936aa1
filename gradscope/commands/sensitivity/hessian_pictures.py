"""Curvature of the linear students of a run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gradscope.experiments.hessian_figure import plot_curvature


def plot_hessian(hessian: pd.DataFrame, coordinates: pd.DataFrame, students: pd.DataFrame) -> Figure:
    """The spectrum of the first seed's Hessians, and Adam's rate of each coordinate against its own curvature."""
    first = students.iloc[0]
    title = (
        f"Curvature at the teacher, λ* = {first['teacher']:g}, T = {int(first['length'])}, seed {int(first['seed'])}"
    )
    return plot_curvature(hessian, coordinates, students, title=title)
