"""A sweep is a list of cells: plain data in, plain data out, each independent of the others and of their order."""

from gradscope.sweep.cell import Cell, GradientCell, SpectrumCell
from gradscope.sweep.result import CellResult
from gradscope.sweep.run_cell import run_cell
from gradscope.sweep.runner import SweepOutcome, run_sweep

__all__ = ["Cell", "CellResult", "GradientCell", "SpectrumCell", "SweepOutcome", "run_cell", "run_sweep"]
