"""The columns of the files of sensitivities."""

_SENSITIVE = ("arch", "parametrization", "normalization", "input")
_MEASURED = ("measured", "standard_error")
_STUDENT = ("student", "teacher", "length", "seed")
# Columns that files of earlier versions lack.
LATER: dict[str, tuple[str, ...]] = {
    "sensitivity": ("long_enough",),
    "exponents": ("local_slopes", "draws", "status"),
    "summary": ("local_slopes", "draws", "state_long_enough_last", "long_enough_last", "state_jacobian_radius_last"),
}

TABLES: dict[str, tuple[str, ...]] = {
    "sensitivity": (
        *_SENSITIVE,
        "lambda_modulus",
        "achieved_lambda_modulus",
        "length",
        "group",
        "quantity",
        *_MEASURED,
        "theory_finite",
        "theory_infinite",
        "spectral_radius",
        "ratio",
        *LATER["sensitivity"],
    ),
    "landscape": (
        "parametrization",
        "normalization",
        "rho",
        "teacher",
        "student",
        "omega",
        "omega_teacher",
        "loss",
        "gradient",
        "curvature",
        "largest_stable_learning_rate",
    ),
    "depth": ("recurrence", "input", "lambda_modulus", "length", "layer", "group", "quantity", *_MEASURED),
    "students": (
        *_STUDENT,
        "parameters",
        "rank",
        "diagonal_share",
        "largest_eigenvalue",
        "median_recurrent_adam_learning_rate",
        "median_adam_learning_rate",
        "adam_last_loss",
    ),
    "hessian": (*_STUDENT, "index", "eigenvalue", "participation"),
    "coordinates": (*_STUDENT, "index", "group", "hessian_diagonal", "adam_learning_rate"),
    "exponents": (*_SENSITIVE, "quantity", "exponent", "standard_error", "theory", "group", *LATER["exponents"]),
    "summary": (
        *_SENSITIVE,
        "group",
        "lambda_first",
        "lambda_last",
        "state_power_first",
        "state_power_last",
        "dh_domega_power_first",
        "dh_domega_power_last",
        "dh_domega_power_ratio_last",
        "state_exponent",
        "state_exponent_standard_error",
        "state_exponent_theory",
        "exponent",
        "exponent_standard_error",
        "exponent_theory",
        "exponent_theory_finite",
        "verdict",
        "status",
        *LATER["summary"],
    ),
}
REQUIRED = ("sensitivity", "summary")  # without which a run cannot be read
SCALAR = "scalar"  # in the column arch: the scalar law
STATE = "state"  # in the column group: the state itself, no parameters
