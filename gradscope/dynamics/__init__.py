"""The linearised dynamics along a trajectory: adjoint, tangent, matrix, in scaled arithmetic."""
