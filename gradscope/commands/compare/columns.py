"""The columns of the files of a comparison."""

GRADIENT_COLUMNS = (
    "arch",
    "seed",
    "length",
    "layer",
    "component",
    "step",
    "steps_back",
    "log10_norm",
    "log10_norm_median",
)
_COMPONENT_COLUMNS = (
    "arch",
    "seed",
    "length",
    "parameters",
    "state_size",
    "component",
    "log10_norm_step_1",
    "log10_norm_step_T",
    "decades_per_step",
    "horizon_steps",
    "horizon_censored",
    "log10_recurrent_weight_gradient_norm",
    "weight_gradient_horizon_steps",
    "float32_lost_steps_back",
    "float16_lost_steps_back",
    "float32_absorbed_steps_back",
    "bfloat16_absorbed_steps_back",
    "verdict",
    "status",
    "reference_lag",
    "log10_relative_norm",
    "log10_drop_lag_0_to_1",
    "parameters_stored",
    "exact_zeros",
)
# Of the gradient that is judged, which is not the component's.
JUDGED_COLUMNS = (
    "judged",
    "drop_decades",
    "rate_decades_per_step",
    "carried_decades",
    "memory_horizon_steps",
    "forecast",
    "zero_from_steps_back",
    "log10_input_share",
    "log10_largest_input_share",
    "reason",
)
SUMMARY_COLUMNS = (*_COMPONENT_COLUMNS, *JUDGED_COLUMNS)
ADVICE = "advice"  # what was tried where something is wrong: a row a candidate and seed
ADVICE_COLUMNS = ("arch", "verdict", "length", "candidate", "seed", "candidate_verdict", "carried_decades")
TABLES = {"gradients": GRADIENT_COLUMNS, "summary": SUMMARY_COLUMNS, ADVICE: ADVICE_COLUMNS}
REQUIRED = ("gradients", "summary")  # without which a run cannot be read
