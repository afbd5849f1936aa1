"""Rows, sentences and pictures of the spectra, from frames as the files hold them."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gradscope.commands.spectrum.columns import TABLES
from gradscope.commands.spectrum.pictures import (
    pictures_of,
    plot_eigenvalues,
    plot_lyapunov,
    plot_products,
    plot_temporal,
)
from gradscope.commands.spectrum.rows import disagreement, largest_exponent, misleading, spectrum_rows
from gradscope.commands.spectrum.sentences import findings
from gradscope.commands.spectrum.table import spectrum_markdown, spectrum_table
from gradscope.measurements.drawing import line_styles
from gradscope.measurements.stability import radius_stability, stability
from gradscope.running.store import save


def summary(*rows):
    """Rows of ``arch, radius, Λ_1, its error`` or with a dictionary of more columns."""
    made = []
    for seed, (arch, radius, exponent, error, *more) in enumerate(rows):
        row = dict.fromkeys(TABLES["summary"], 0.5)
        row |= {"arch": arch, "seed": seed, "state_size": 64, "spectral_radius": radius, "length": 200, "period": 1}
        row |= {"lyapunov_max_nats_per_step": exponent, "lyapunov_max_standard_error": error, "status": "ok"}
        row |= {"exp_lyapunov_max": math.exp(exponent), "verdict": stability(exponent, error, 200)}
        row |= {"longest_time_constant": math.inf if radius >= 1 else 3.0, "radius_per_period": math.nan}
        row |= {"carried_decades": math.nan}
        made.append(row | (more[0] if more else {}))
    return pd.DataFrame(made)


NO_PERIODS = pd.DataFrame(columns=list(TABLES["period_eigenvalues"]))
TRANSFORMER = (
    "transformer",
    math.nan,
    math.nan,
    math.nan,
    {"log10_temporal_lag_0": 0.1, "log10_temporal_lag_1": -2.0, "log10_temporal_last_lag": -4.5}
    | {"status": "no recurrent state", "verdict": "none", "state_size": 0, "longest_time_constant": math.nan}
    | {"near_unit_share": math.nan, "largest_singular_value": math.nan, "exp_lyapunov_median": math.nan},
)


@pytest.mark.parametrize(
    ("exponent", "error", "verdict"),
    [
        (-0.1, 0.01, "contracting"),
        (0.1, 0.01, "expanding"),
        (0.1, 0.06, "marginal"),  # within two standard errors
        (-0.004, 0.0, "marginal"),  # less than a factor of e over 200 steps
        (-math.inf, 0.0, "contracting"),
        (-0.1, math.nan, "contracting"),
        (math.nan, 0.0, "unknown"),
    ],
)
def test_verdicts(exponent, error, verdict):
    assert stability(exponent, error, 200) == verdict


def test_verdict_of_a_radius():
    assert [radius_stability(r, 200) for r in (0.0, 0.9, 1.0, 1.1)] == [
        "contracting",
        "contracting",
        "marginal",
        "expanding",
    ]


def test_error_over_seeds_is_the_larger_of_scatter_and_own():
    scattered = summary(("a", 0.5, -0.4, 1e-3), ("a", 0.5, -0.6, 1e-3))
    assert largest_exponent(scattered).standard_error == pytest.approx(0.1)
    uncertain = summary(("a", 0.5, -0.5, 0.3), ("a", 0.5, -0.5, 0.4))
    assert largest_exponent(uncertain).standard_error == pytest.approx(0.25)
    assert largest_exponent(uncertain).verdict == "marginal"


def test_seeds_that_differ_are_mixed_and_nothing_misleads():
    frame = summary(("a", 0.7, -0.4, 1e-3), ("a", 1.1, 0.1, 1e-3))
    assert largest_exponent(frame).verdict == "mixed"
    assert misleading(frame) == ""
    assert spectrum_rows(frame).rows[0][-1].startswith("mixed (1 contracting, 1 expanding; Λ₁ -0.1500")


def test_short_sequences_mislead_nobody():
    assert misleading(summary(("sc", 1.0, -0.4, 1e-6)).assign(length=20)) == ""


def test_a_radius_that_misleads_is_said():
    assert "says marginal, the long run says contracting (×0.9656" in misleading(summary(("sc", 1.0, -0.035, 1e-6)))
    assert "promises a time constant of 3 steps, there are 1.61" in misleading(summary(("m", 0.775, -0.62, 0.01)))
    assert misleading(summary(("rnn", 0.51, -0.69, 0.01))) == ""
    assert misleading(summary(TRANSFORMER)) == ""


def test_rows_over_seeds():
    rows = spectrum_rows(summary(("a", 0.5, -0.6, 0.01), ("a", 0.6, -0.6, 0.01), TRANSFORMER))
    assert rows.headers[2:4] == ["spectral radius", "σ max"]
    assert rows.rows[0][2] == "0.55 ± 0.07"
    assert rows.rows[0][-1] == "contracting (Λ₁ -0.6000 ± 0.0071)"
    assert rows.rows[1][1:] == ["0", *["–"] * 6, "no recurrent state"]
    assert rows.verdicts == ["contracting", "none"]


def test_periods_infinite_time_constants_and_troubles():
    rows = spectrum_rows(
        summary(
            ("sc", 1.0, -0.035, 1e-6, {"period": 20, "radius_per_period": 0.966}),
            ("bad", math.nan, math.nan, math.nan, {"status": "non-finite from step 12", "verdict": "unknown"}),
            ("slow", 1.0, 0.0, 0.0, {"status": "not converged"}),
        )
    )
    assert rows.headers[3] == "per period"
    assert rows.rows[0][3] == "0.966"
    assert rows.rows[0][8] == "∞"
    assert rows.rows[1][-1] == "non-finite from step 12"
    assert rows.rows[2][-1] == "marginal (Λ₁ +0.0000 ± 0), not converged"


def test_markdown_and_table_have_the_same_cells():
    frame = summary(("a|b", 1.0, -0.035, 1e-6))
    markdown = spectrum_markdown(frame)
    assert "| a\\|b | 64 | 1 |" in markdown
    assert "- a|b: a one-step radius of 1 says marginal" in markdown
    table = spectrum_table(frame)
    assert [str(cell) for cell in table.columns[0].cells] == ["a|b"]
    assert "a one-step radius of 1 says marginal" in str(table.caption)
    narrow = spectrum_table(summary(("a", 0.5, -0.6, 0.01), ("a", 0.6, -0.6, 0.01)), deviations=False)
    assert str(next(iter(narrow.columns[-1].cells))) == "contracting (Λ₁ -0.6000)"


def test_findings():
    frame = summary(("lru", 0.99, -0.01, 0.0), ("rrn", 0.4, -1.0, 0.01), ("res", 1.02, 0.05, 0.01), TRANSFORMER)
    said = findings(frame)
    assert said[0] == (
        "lru keeps perturbations longest (a factor of ten lost in 230 steps), "
        "rrn forgets fastest (a factor of ten lost in 2.3 steps)."
    )
    assert said[1].startswith("res expands")
    assert said[-1].startswith("transformer has no recurrent state, so there is no state Jacobian")
    assert said[-1].endswith("10^0.10 at lag 0, 10^-2.00 at lag 1, 10^-4.50 at lag 199.")


def test_findings_of_one_of_nothing_and_of_what_failed():
    assert findings(summary(("id", 1.0, 0.0, 0.0))) == ["id keeps perturbations longest (neither growth nor decay)."]
    failed = summary(("x", math.nan, math.nan, math.nan, {"status": "failed", "verdict": "unknown"}))
    assert findings(failed) == ["x gave no finite spectrum."]
    assert findings(summary(("zero", 0.0, -math.inf, 0.0)))[0].startswith("zero keeps perturbations longest (it keeps")


def eigenvalues(arch, values, multiplicity=1):
    values = np.asarray(values, dtype=complex)
    frame = pd.DataFrame({"real": values.real, "imag": values.imag, "modulus": abs(values)})
    return frame.assign(
        arch=arch, seed=0, sample=0, step=1, layer=0, index=range(len(frame)), multiplicity=multiplicity
    )


def test_eigenvalue_panels():
    rng = np.random.RandomState(0)
    many = rng.standard_normal(5000) * 0.2 + 1j * rng.standard_normal(5000) * 0.2
    near_one = eigenvalues("near", [0.995, 0.5j, -0.5j, 0])
    frame = pd.concat([near_one, eigenvalues("many", many), eigenvalues("x", [0.2])])
    figure = plot_eigenvalues(frame, NO_PERIODS, summary(("near", 1, 0, 0), ("many", 1, -0.5, 0), ("x", 0.2, -1.6, 0)))
    near, many_axes, far = (axes for axes in figure.axes if axes.get_title(loc="left"))
    assert [axes.get_title(loc="left") for axes in (near, many_axes, far)] == ["near", "many", "x"]
    assert len(near.child_axes) == 1  # what is near λ = 1, enlarged
    assert not far.child_axes
    assert many_axes.collections  # a density
    assert not near.collections
    assert {text.get_text() for text in near.texts} == {"50 % of |λ| above 0.99", "long run ×1 a step"}
    assert {line.get_marker() for line in near.lines} >= {"x"}  # an exact zero


def lyapunov(arch, exponents, seed=0):
    frame = pd.DataFrame({"exponent_nats_per_step": exponents})
    return frame.assign(arch=arch, seed=seed, sample=0, layer=0, index=range(len(frame)), standard_error=0.0)


def curve(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line


def test_lyapunov_lines():
    frame = pd.concat(
        [
            lyapunov("a", [-0.1, -0.5]),
            lyapunov("a", [-0.3, -0.7], seed=1),
            lyapunov("b", [0.0, -1.0, -math.inf, -math.inf]),
            lyapunov("c", [math.nan]),
        ]
    )
    figure = plot_lyapunov(frame)
    axes, growth = figure.axes
    assert np.allclose(curve(axes, "a").get_ydata(), [-0.2, -0.6])
    assert np.allclose(curve(axes, "b (50% null)").get_xdata(), [0.25, 0.5])
    assert len(curve(axes, "c (not finite)").get_xdata()) == 0
    assert axes.get_ylim() == growth.get_ylim()
    assert axes.get_yscale() == growth.get_yscale() == "symlog"
    labels = {t.get_text(): position for position, t in zip(growth.get_yticks(), growth.get_yticklabels(), strict=True)}
    assert labels["×0.5"] == pytest.approx(math.log(0.5))


def products(arch, largest, smallest):
    frame = pd.DataFrame({"log10_largest_singular_value": largest, "log10_smallest_singular_value": smallest})
    lags = np.arange(1, len(frame) + 1)
    return frame.assign(arch=arch, seed=0, sample=0, steps_back=lags, step=len(frame) - lags)


def test_product_lines_keep_their_colours():
    frame = pd.concat([products("a", [-1, -2, -60], [-3, -math.inf, -math.inf]), products("b", [0, 0, 0], [0, 0, 0])])
    figure = plot_products(frame)
    (axes,) = figure.axes
    assert np.allclose(curve(axes, "a").get_ydata(), [-1, -2, -60])
    style = line_styles(["a", "b"])
    assert to_hex(curve(axes, "a").get_color()).upper() == style["a"].colour
    fine = [line for line in axes.lines if line.get_label().startswith("_") and line.get_color() == style["a"].colour]
    assert [list(line.get_ydata()) for line in fine] == [[-3]]
    assert "below: 0 in float32" in {text.get_text() for text in axes.texts}
    assert isinstance(plot_temporal(frame), Figure)


def test_pictures_are_the_same_bytes_again(tmp_path):
    frame = pd.concat([products("a", [-1, -2], [-3, -4])])
    for name in ("one", "two"):
        save(plot_products(frame), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_run_without_recurrent_states_has_the_temporal_picture_alone():
    tables = {name: pd.DataFrame(columns=list(columns)) for name, columns in TABLES.items()}
    tables["temporal"], tables["summary"] = products("transformer", [-1, -2], [-3, -4]), summary(TRANSFORMER)
    assert list(pictures_of(tables)) == ["temporal"]


def test_the_narrow_table_keeps_the_status():
    frame = summary(("a", 0.5, -0.6, 0.01, {"status": "not converged"}))
    narrow = spectrum_table(frame, deviations=False)
    assert str(next(iter(narrow.columns[-1].cells))) == "contracting (Λ₁ -0.6000), not converged"


def test_what_expands_does_not_keep_longest():
    said = findings(summary(("x", 1.03, 0.03, 1e-3), ("y", 0.9, -0.09, 1e-3)))
    assert said[0] == "y keeps perturbations longest (a factor of ten lost in 25.6 steps)."
    assert findings(summary(("x", 1.03, 0.03, 1e-3)))[0].startswith("x expands")


def test_a_seed_without_numbers_is_named():
    frame = summary(("a", 0.5, -0.6, 0.01), ("a", math.nan, math.nan, math.nan, {"status": "failed"}))
    assert findings(frame)[-1] == "a (in 1 of 2 seeds) gave no finite spectrum."


def test_a_null_recurrence_against_its_radius():
    frame = summary(("zero", 0.5, -math.inf, 0.0))
    assert misleading(frame) == "a one-step radius of 0.5 promises a memory, the long run keeps nothing"
    assert spectrum_rows(frame).rows[0][-1] == "contracting (Λ₁ −∞)"


def test_one_broken_seed_does_not_hide_the_others():
    spoilt = pd.concat([lyapunov("a", [-0.1, -0.5]), lyapunov("a", [math.nan] * 2, seed=1)])
    assert np.allclose(curve(plot_lyapunov(spoilt).axes[0], "a").get_ydata(), [-0.1, -0.5])
    spoilt = pd.concat(
        [products("a", [-1, -2], [-3, -4]), products("a", [math.nan] * 2, [math.nan] * 2).assign(seed=1)]
    )
    assert np.allclose(curve(plot_products(spoilt).axes[0], "a").get_ydata(), [-1, -2])


def test_all_null_is_said():
    assert len(curve(plot_lyapunov(lyapunov("a", [-math.inf] * 2)).axes[0], "a (all null)").get_xdata()) == 0


def test_a_period_is_drawn_as_rings():
    rings = pd.DataFrame({"modulus_per_step": [0.5, 0.9], "angle_per_period": [0.0, math.pi / 2]})
    rings = rings.assign(arch="a", seed=0, sample=0, step=[20, 20], layer=0, index=[0, 1], period=20)
    axes = plot_eigenvalues(eigenvalues("a", [1.0]), rings, summary(("a", 1, 0, 0))).axes[0]
    assert "○ a period of 20, a step" in {text.get_text() for text in axes.texts}
    (drawn,) = [line for line in axes.lines if line.get_markeredgecolor() == "black" and line.get_marker() == "o"]
    assert np.allclose(drawn.get_xdata(), [0.5, 0])
    assert np.allclose(drawn.get_ydata(), [0, 0.9])


def test_repeated_eigenvalues_are_counted():
    axes = plot_eigenvalues(eigenvalues("a", [1.0], 64), NO_PERIODS, summary(("a", 1, 0, 0))).axes[0]
    assert "×64" in {text.get_text() for text in axes.texts}


@pytest.mark.parametrize(
    ("name", "plot"),
    [
        ("eigenvalues", lambda frame: plot_eigenvalues(frame, NO_PERIODS, summary(TRANSFORMER))),
        ("lyapunov", plot_lyapunov),
        ("products", plot_products),
        ("temporal", plot_temporal),
    ],
)
def test_empty_frames_give_a_sentence(name, plot):
    (axes,) = plot(pd.DataFrame(columns=list(TABLES[name]))).axes
    assert axes.texts[0].get_text().endswith(".")


def with_gradient(exponent, error, carried, length=1000):
    return summary(("x", 0.9, exponent, error)).assign(length=length, carried_decades=carried)


@pytest.mark.parametrize(
    ("nats", "error", "carried", "says"),
    [
        (-0.01, 0.0001, -4.5, ""),  # −4.3 decades promised: both fading
        (-0.0001, 0.0001, -5.0, "5.0 decades are lost before it lies in the slowest direction"),
        (0.0001, 0.0001, 3.0, "3.0 decades are gained in a transient"),
        (-0.0044, 0.001, -2.2, ""),  # −1.9 promised, within its error of −2.2
        (-math.inf, 0.0, -math.inf, ""),
    ],
)
def test_the_exponent_and_the_gradient_agree_or_the_answer_says_why_not(nats, error, carried, says):
    found = disagreement(with_gradient(nats, error, carried))
    assert (says in found) if says else found == ""


def test_seeds_that_differ_are_counted():
    frame = pd.concat([with_gradient(value, 0.0001, 0.0).assign(seed=i) for i, value in enumerate((-0.5, -0.5, 0.5))])
    assert largest_exponent(frame).counts == "2 contracting, 1 expanding"
    assert "mixed (2 contracting, 1 expanding; Λ₁" in spectrum_rows(frame).rows[0][-1]
