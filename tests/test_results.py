"""What every result of a public function does: prints in a few lines, is a table, a notebook's HTML and a picture."""

import io
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import gradscope
from gradscope.commands import MEASURING
from gradscope.errors import UnknownName
from gradscope.homes import load
from gradscope.measurements.description import Description, middle, number
from gradscope.measurements.summary import summarize
from tests.models import inputs, small

OVERFLOWING = {"init": "orthogonal", "radius": 1e30, "dtype": torch.float32}


def gradient_norms(size):
    if size == "non-finite":
        return gradscope.gradient_norms(small("linear-rnn", **OVERFLOWING), inputs(30, torch.float32), [3, 20, 30])
    if size == "large":
        return gradscope.gradient_norms(small("lstm", num_layers=4), inputs(40, batch=33), range(2, 41))
    return gradscope.gradient_norms(small("lstm"), inputs(20), [7, 20])


def state_measurement(function, **options):
    def measure(size):
        if size == "non-finite":
            return function(small("linear-rnn", **OVERFLOWING), inputs(30, torch.float32), **options)
        if size == "large":
            return function(small("skip-rnn", num_layers=3, k=2), inputs(90, batch=17), **options)
        return function(small("sc-lstm-i", L=2), inputs(20), **options)

    return measure


def temporal_jacobian(size):
    if size == "large":
        return gradscope.temporal_jacobian(small("transformer"), inputs(80, batch=17))
    model = small("rnn", nonlinearity="relu")
    with torch.no_grad():
        model.weight_hh_l0 *= 0 if size == "non-finite" else 1  # exact zeros: log10 is -inf
    return gradscope.temporal_jacobian(model, inputs(20))


def memory_sensitivity(size):
    if size == "non-finite":
        return gradscope.memory_sensitivity(small("linear-rnn", **OVERFLOWING), inputs(30, torch.float32))
    if size == "large":
        return gradscope.memory_sensitivity(small("hrl", num_layers=2), inputs(20, batch=33))
    return gradscope.memory_sensitivity(small("lru"), inputs(20))


def signal_propagation(size):
    x = inputs(12) * (1e200 if size == "non-finite" else 1)
    return gradscope.signal_propagation("lru", 0.9, x, depth=30 if size == "large" else 2, width=4)


def teacher_student_hessian(size):
    options = {"non-finite": {"learning_rate": 1e200}, "large": {"pairs": 4}}.get(size, {})
    return gradscope.teacher_student_hessian("dense", 0.9, 30, adam_steps=20, **options)


def diagnosis(size):
    if size == "non-finite":
        return gradscope.diagnose(small("linear-rnn", **OVERFLOWING), inputs(30, torch.float32), [3, 30])
    if size == "large":
        return gradscope.diagnose(small("lstm", num_layers=4), inputs(40, batch=33), range(2, 41))
    return gradscope.diagnose(small("lstm"), inputs(20), [7, 20])


MEASURED = {
    "GradientNorms": gradient_norms,
    "JacobianSpectrum": state_measurement(gradscope.jacobian_spectrum),
    "LyapunovExponents": state_measurement(gradscope.lyapunov_exponents, warm_up=5),
    "JacobianProducts": state_measurement(gradscope.jacobian_products),
    "MemorySensitivity": memory_sensitivity,
    "TemporalJacobian": temporal_jacobian,
    "SignalPropagation": signal_propagation,
    "TeacherStudentHessian": teacher_student_hessian,
    "Diagnosis": diagnosis,
}
MOST_LINES = 15
SIZES = ("small", "large", "non-finite")
RUN_ONLY = {"arch", "seed"}
FILES = {  # result and name of its table to command, file, and what one measurement does not know besides
    ("GradientNorms", None): ("compare", "gradients", ()),
    ("Diagnosis", None): ("compare", "summary", ()),
    ("JacobianSpectrum", None): ("spectrum", "steps", ()),
    ("JacobianSpectrum", "steps"): ("spectrum", "steps", ()),
    ("JacobianSpectrum", "eigenvalues"): ("spectrum", "eigenvalues", ()),
    ("JacobianSpectrum", "singular_values"): ("spectrum", "singular_values", ()),
    ("JacobianSpectrum", "period_eigenvalues"): ("spectrum", "period_eigenvalues", ()),
    ("LyapunovExponents", None): ("spectrum", "lyapunov", ()),
    ("JacobianProducts", None): ("spectrum", "products", ()),
    ("TemporalJacobian", None): ("spectrum", "temporal", ()),
    ("MemorySensitivity", None): (
        "sensitivity",
        "sensitivity",
        (
            "parametrization",
            "normalization",
            "input",
            "lambda_modulus",
            "theory_finite",
            "theory_infinite",
            "spectral_radius",
            "ratio",
        ),
    ),
    ("SignalPropagation", None): ("sensitivity", "depth", ("input", "length", "standard_error")),
    ("TeacherStudentHessian", None): ("sensitivity", "hessian", ()),
    ("TeacherStudentHessian", "hessian"): ("sensitivity", "hessian", ()),
    ("TeacherStudentHessian", "coordinates"): ("sensitivity", "coordinates", ()),
    ("TeacherStudentHessian", "students"): ("sensitivity", "students", ()),
}


@cache
def measured(name, size):
    return MEASURED[name](size)


def headline(name, result):
    """Texts that say what was found."""
    if name == "GradientNorms":
        rows = summarize(result)
        return [str(rows[-1].length), number(rows[-1].log10_relative_norm), number(rows[0].decades_per_step)]
    if name == "JacobianSpectrum":
        found = (result.spectral_radius, result.largest_singular_value, result.longest_time_constant)
        return [f"{result.state_size} numbers", f"{len(result.steps)} steps", *(number(middle(v)) for v in found)]
    if name == "LyapunovExponents":
        leading = float(result.exponents_nats_per_step[:, 0].mean())
        batch = len(result.converged)
        return [number(leading), f"×{number(math.exp(leading))}", f"{int(result.converged[:, 0].sum())} of {batch}"]
    if name == "JacobianProducts":
        return [str(result.lags[-1]), number(middle(result.log10_largest_singular_value[:, -1]))]
    if name == "TemporalJacobian":
        return [str(result.length - 1), number(middle(result.log10_singular_values[:, -1, 0]))]
    if name == "MemorySensitivity":
        return [f"{result.units} units", number(result.state_power.mean())]
    if name == "SignalPropagation":
        return [number(result.state_power[-1]), number(result.gradient_power["angle"][-1]), number(result.loss)]
    if name == "TeacherStudentHessian":
        return [number(result.eigenvalues[0]), f"{result.rank} of {len(result.coordinates)} coordinates"]
    return [result.verdict, result.label, f"T={result.longest.length}"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MEASURED)
def test_a_result_prints_what_was_found_in_a_few_lines(name, size):
    result = measured(name, size)
    text = repr(result)
    assert type(result).__name__ == name
    assert 2 <= len(text.splitlines()) <= MOST_LINES
    assert "tensor(" not in text
    for found in headline(name, result):
        assert found in text
    assert str(result) == text


@pytest.mark.parametrize("size", SIZES)
def test_the_spectra_of_a_result_print_what_they_are(size):
    result = measured("JacobianSpectrum", size)
    for spectrum in (*result.layers, result.singular, *result.periods.values()):
        text = repr(spectrum)
        assert text.startswith(type(spectrum).__name__)
        assert len(text.splitlines()) <= MOST_LINES
        assert "tensor(" not in text


def test_every_size_of_spectrum_prints_its_shapes():
    spectrum = gradscope.Spectrum.simple(torch.zeros(40, 30, 50, dtype=torch.complex128))
    assert repr(spectrum) == "Spectrum: values (40, 30, 50) complex128, multiplicity (50,) int64, size 50"
    (period,) = measured("JacobianSpectrum", "small").periods.values()
    assert str(tuple(period.log_modulus_per_step.shape)) in repr(period)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GradientNorms", "non-finite"),
        ("JacobianSpectrum", "not finite from step"),
        ("LyapunovExponents", "not finite from step"),
        ("JacobianProducts", "not finite from step"),
        ("MemorySensitivity", "–"),
        ("TemporalJacobian", "−∞"),
        ("SignalPropagation", "status: non-finite"),
        ("TeacherStudentHessian", "status: non-finite"),
        ("Diagnosis", "unknown (non-finite"),
    ],
)
def test_what_is_not_finite_is_said(name, words):
    assert words in repr(measured(name, "non-finite"))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "table"), FILES)
def test_tables_have_the_columns_of_the_files(name, table, size):
    command, file, unknown = FILES[name, table]
    result = measured(name, size)
    frame = result.to_dataframe() if table is None else result.to_dataframe(table)
    columns = [column for column in load(MEASURING[command]).columns[file] if column not in RUN_ONLY | set(unknown)]
    assert list(frame) == columns
    assert len(frame) > 0 or (file == "period_eigenvalues" and not result.periods)


def test_rows_stand_at_their_places():
    spectrum = gradscope.jacobian_spectrum(small("lstm", num_layers=2), inputs(9), steps=[4, 9, 2])
    frame = spectrum.to_dataframe("eigenvalues").set_index(["sample", "step", "layer", "index"])
    assert len(frame) == 2 * 3 * 12
    for layer, values in enumerate(spectrum.layers):
        assert frame.loc[(1, 9, layer, 4), "real"] == values.values[1, 1, 4].real
        assert frame.loc[(0, 2, layer, 0), "modulus"] == values.values[0, 2, 0].abs()
    steps = spectrum.to_dataframe().set_index(["sample", "step"])
    assert steps.loc[(1, 4), "henrici_departure"] == spectrum.henrici_departure[1, 0]
    singular = spectrum.to_dataframe("singular_values").set_index(["sample", "step", "index"])
    assert singular.loc[(1, 9, 2), "singular_value"] == spectrum.singular_values[1, 1, 2]
    assert set(singular["layer"]) == {"joint"}


def test_periods_are_rows():
    spectrum = measured("JacobianSpectrum", "large")
    frame = spectrum.to_dataframe("period_eigenvalues")
    assert set(frame["layer"]) == {0, 1, 2}
    (first, *_) = frame.itertuples()
    assert (first.period, first.step) == (spectrum.periods[0].period, spectrum.periods[0].steps[0])
    assert first.modulus_per_step == spectrum.periods[0].log_modulus_per_step[0, 0, 0].exp()


def test_products_and_exponents_as_rows():
    products = gradscope.jacobian_products(small("rnn"), inputs(9), lags=[8, 3])
    rows = products.to_dataframe().set_index(["sample", "steps_back"])
    assert rows.loc[(1, 8), "step"] == 1
    assert rows.loc[(1, 8), "log10_largest_singular_value"] == products.log10_largest_singular_value[1, 1]
    assert rows.loc[(0, 3), "stable_rank"] == products.stable_rank[0, 0]
    temporal = gradscope.temporal_jacobian(small("rnn"), inputs(9))
    rows = temporal.to_dataframe().set_index(["sample", "steps_back"])
    assert rows.loc[(1, 6), "step"] == 3
    assert rows.loc[(1, 6), "log10_smallest_singular_value"] == temporal.log10_singular_values[1, 6, -1]
    exponents = gradscope.lyapunov_exponents(small("lstm", num_layers=2), inputs(60), warm_up=10)
    rows = exponents.to_dataframe().set_index(["sample", "layer", "index"])
    assert rows.loc[(1, 1, 4), "exponent_nats_per_step"] == exponents.layers[1][1, 4]
    assert rows.loc[(0, 1, 2), "standard_error"] == exponents.layers_standard_error[1][0, 2]


def test_sensitivities_are_means_over_the_samples():
    result = gradscope.memory_sensitivity(small("lru"), inputs(20, batch=5))
    frame = result.to_dataframe().set_index(["quantity", "group"])
    power = result.dh_domega_power["angle"].numpy()
    row = frame.loc[("dh_domega_power", "angle")]
    assert row["measured"] == pytest.approx(power.mean(), rel=1e-12)
    assert row["standard_error"] == pytest.approx(power.std(ddof=1) / math.sqrt(5), rel=1e-12)
    assert frame.loc[("state_power", "state"), "measured"] == pytest.approx(float(result.state_power.mean()))
    assert row["achieved_lambda_modulus"] == result.achieved_lambda_modulus
    one = gradscope.memory_sensitivity(small("lru"), inputs(20, batch=1)).to_dataframe()
    assert one["standard_error"].isna().all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("JacobianSpectrum", "table of a spectrum called 'eigenvalue'. Did you mean 'eigenvalues'"),
        ("TeacherStudentHessian", "table of a Hessian called 'eigenvalue'. .*Known: coordinates, hessian, students"),
    ],
)
def test_an_unknown_table_is_named(name, message):
    with pytest.raises(UnknownName, match=message):
        measured(name, "small").to_dataframe("eigenvalue")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MEASURED)
def test_html_is_well_formed_and_says_the_same(name, size):
    result = measured(name, size)
    tree = ElementTree.fromstring(result._repr_html_())
    assert len(tree.findall(".//tr")) <= MOST_LINES
    said = " ".join(" ".join(tree.itertext()).split())
    for found in headline(name, result):
        assert found in said


def test_texts_are_escaped():
    tree = ElementTree.fromstring(measured("GradientNorms", "small")._repr_html_())
    assert any("<state>" in (paragraph.text or "") for paragraph in tree.iter("p"))
    found = gradscope.diagnose(small("rnn"), inputs(), label="a & <b>")
    assert "a & <b>" in [cell.text for cell in ElementTree.fromstring(found._repr_html_()).iter("td")]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in MEASURED if name != "MemorySensitivity"])
def test_pictures_are_drawn_and_no_window_opens(name, size):
    figure = measured(name, size).plot(figsize=(9, 5.5))
    assert isinstance(figure, Figure)
    assert figure.get_figheight() == 5.5
    figure.savefig(io.BytesIO(), format="svg")
    assert plt.get_fignums() == []


def test_pictures_show_the_numbers():
    spectrum = gradscope.jacobian_spectrum(small("lstm"), inputs(9), steps=[9])
    (axes,) = spectrum.plot().axes
    drawn = {(round(x, 9), round(y, 9)) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)}
    assert {(round(v.real, 9), round(v.imag, 9)) for v in spectrum.eigenvalues[1, 0].tolist()} <= drawn
    products = gradscope.jacobian_products(small("rnn"), inputs(9))
    curves = [line.get_ydata() for line in products.plot().axes[0].lines if len(line.get_ydata()) == 9]
    assert any(np.allclose(curve, products.log10_largest_singular_value.mean(0)) for curve in curves)
    exponents = gradscope.lyapunov_exponents(small("rnn", num_layers=2), inputs(60), warm_up=10)
    figure = exponents.plot()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["layer 1", "layer 2"]
    propagation = measured("SignalPropagation", "small")
    curve = propagation.plot().axes[0].lines[1]  # the first one is the zero
    assert np.allclose(curve.get_ydata(), propagation.state_power)


def test_any_measured_component_is_drawn():
    result = measured("GradientNorms", "small")
    assert result.plot("c").axes[0].get_title("left") == "∂L/∂c"
    assert result.plot().axes[0].get_title("left") == "∂L/∂h"
    with pytest.raises(UnknownName, match="measured component called 'cc'"):
        result.plot("cc")
    alone = gradscope.gradient_norms(small("lstm"), inputs(), [7], components=["x"])
    assert repr(alone).startswith("‖∂L/∂x‖ of 2 samples")
    assert alone.plot().axes[0].get_title("left") == "∂L/∂x"


def test_a_long_table_shows_its_ends_and_remarks_are_counted():
    rows = [[str(index), "x" * index] for index in range(100)]
    text = Description("heading", rows, ("a\nb", "c"), remarks=[f"remark {index}" for index in range(9)]).text()
    lines = text.splitlines()
    assert len(lines) == MOST_LINES
    assert lines[:3] == ["heading", "a", "b   c"]
    assert lines[3].startswith("0")
    assert lines[-6].startswith("…")
    assert lines[-5].startswith("99")
    assert lines[-4:] == ["remark 0", "remark 1", "remark 2", "… and 6 remarks more"]


def test_numbers_as_texts():
    assert [number(value) for value in (0.123456, math.nan, math.inf, -math.inf)] == ["0.1235", "–", "∞", "−∞"]
    assert middle(torch.tensor([3.0, math.inf, 1.0])) == 3.0
    assert middle(torch.tensor([math.inf, math.inf])) == math.inf
    assert math.isnan(middle(torch.tensor([1.0, math.nan])))
    assert middle(torch.tensor([[1.0, 2.0], [4.0, 8.0]])) == 3.0


def test_printing_needs_neither_pandas_nor_matplotlib():
    code = """
import sys, gradscope
model = gradscope.build("rnn", input_size=2, hidden_size=3)
x = gradscope.make_inputs("white", batch=2, length=60, input_size=2)
measurements = ("diagnose", "jacobian_spectrum", "jacobian_products", "lyapunov_exponents", "memory_sensitivity")
results = [getattr(gradscope, name)(model, x) for name in (*measurements, "temporal_jacobian")]
for result in (*results, gradscope.signal_propagation("lru", 0.9, x, depth=2)):
    assert repr(result) and result._repr_html_()
print(sorted({"pandas", "matplotlib", "typer", "rich"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
