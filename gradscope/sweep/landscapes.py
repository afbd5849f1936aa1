"""The one-dimensional loss surface over ω, as rows."""

from __future__ import annotations

import numpy as np

from gradscope.sweep.cell import ScalarCell
from gradscope.sweep.result import Table
from gradscope.theory import PARAMETRIZATIONS, landscape

POINTS = 161
NEAREST, FARTHEST = 1e-7, 0.7  # of 1 − λ: students from here to there, the teacher among them
WITH_LANDSCAPE = ("none", "sqrt")


def add_landscape(table: Table, cell: ScalarCell) -> None:
    """Loss, gradient and curvature of students around the teacher, for every parametrisation of a modulus."""
    students = 1 - np.geomspace(FARTHEST, NEAREST, POINTS)
    students = np.unique(np.append(students, cell.teacher))
    for parametrization in cell.parametrizations:
        how = PARAMETRIZATIONS[parametrization]
        for normalization in cell.normalizations:
            if how.is_angle or normalization not in WITH_LANDSCAPE:
                continue
            for student in students.tolist():
                point = landscape(student, cell.teacher, parametrization, normalization)
                row = {
                    "parametrization": parametrization,
                    "normalization": normalization,
                    "teacher": cell.teacher,
                    "student": student,
                    "omega": how.inverse(student),
                    "omega_teacher": how.inverse(cell.teacher),
                    "loss": point.loss,
                    "gradient": point.gradient,
                    "curvature": point.curvature,
                    "largest_stable_learning_rate": point.largest_stable_learning_rate,
                }
                for column, values in table.items():
                    values.append(row[column])
