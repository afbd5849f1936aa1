"""The columns of the files of spectra."""

_WHERE = ("arch", "seed", "sample")
TEMPORAL_REACH = ("log10_temporal_lag_0", "log10_temporal_lag_1", "log10_temporal_last_lag")
JUDGED_COLUMNS = ("carried_decades", "gradient_verdict")  # of the same model and inputs, as gradscope compare says it

TABLES: dict[str, tuple[str, ...]] = {
    "eigenvalues": (*_WHERE, "step", "layer", "index", "real", "imag", "modulus", "multiplicity"),
    "singular_values": (*_WHERE, "step", "layer", "index", "singular_value", "multiplicity"),
    "period_eigenvalues": (*_WHERE, "step", "layer", "index", "period", "modulus_per_step", "angle_per_period"),
    "steps": (
        *_WHERE,
        "step",
        "spectral_radius",
        "largest_singular_value",
        "median_singular_value",
        "smallest_singular_value",
        "condition_number",
        "henrici_departure",
        "near_unit_share",
        "memory_share",
        "longest_time_constant",
    ),
    "lyapunov": (*_WHERE, "layer", "index", "exponent_nats_per_step", "standard_error"),
    "products": (
        *_WHERE,
        "step",
        "steps_back",
        "log10_largest_singular_value",
        "log10_smallest_singular_value",
        "log10_frobenius_norm",
        "stable_rank",
    ),
    "temporal": (
        *_WHERE,
        "step",
        "steps_back",
        "log10_largest_singular_value",
        "log10_smallest_singular_value",
        "log10_frobenius_norm",
    ),
    "summary": (
        "arch",
        "seed",
        "state_size",
        "spectral_radius",
        "largest_singular_value",
        "exp_lyapunov_max",
        "exp_lyapunov_median",
        "near_unit_share",
        "longest_time_constant",
        "verdict",
        "status",
        "length",
        "lyapunov_max_nats_per_step",
        "lyapunov_max_standard_error",
        "period",
        "radius_per_period",
        "condition_number",
        "henrici_departure",
        "memory_share",
        *TEMPORAL_REACH,
        *JUDGED_COLUMNS,
    ),
}
REQUIRED = ("summary",)  # without which a run cannot be read
NO_RECURRENT_STATE = "no recurrent state"  # a status
