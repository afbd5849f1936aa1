"""The one-dimensional loss surface over ω, as rows."""

from __future__ import annotations

import numpy as np

from gradscope.sweep.cell import LandscapeCell
from gradscope.sweep.result import CellResult, append_row, blank_tables
from gradscope.theory import PARAMETRIZATIONS, landscape

POINTS = 161
NEAREST, FARTHEST = 1e-7, 0.7  # of 1 − λ: students from here to there, the teacher among them
WITH_LANDSCAPE = ("none", "sqrt")


def measure_landscape(cell: LandscapeCell, model: None) -> CellResult:
    """Loss, gradient and curvature of students around the teacher, for every parametrisation of a modulus."""
    tables, (teacher,) = blank_tables(cell.command), cell.lambdas
    students = np.unique(np.append(1 - np.geomspace(FARTHEST, NEAREST, POINTS), teacher)).tolist()
    for parametrization in cell.parametrizations:
        how = PARAMETRIZATIONS[parametrization]
        for normalization in cell.normalizations:
            if how.is_angle or normalization not in WITH_LANDSCAPE:
                continue
            for student in students:
                point = landscape(student, teacher, parametrization, normalization)
                row = {
                    "parametrization": parametrization,
                    "normalization": normalization,
                    "teacher": teacher,
                    "student": student,
                    "omega": how.inverse(student),
                    "omega_teacher": how.inverse(teacher),
                    "loss": point.loss,
                    "gradient": point.gradient,
                    "curvature": point.curvature,
                    "largest_stable_learning_rate": point.largest_stable_learning_rate,
                }
                append_row(tables["landscape"], row)
    return CellResult(tables, [])
