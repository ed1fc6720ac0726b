"""Numerical fidelity: quantisers against closed forms, bands over what is assumed, and what was published."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cli_support import mistake, process, tell
from hypothesis import given
from hypothesis import strategies as st

import npusim
from npusim.errors import UserError
from npusim.fidelity import assumptions
from npusim.fidelity.assumptions import fidelity_table, quantisers_for, quantisers_of, signal_spreads
from npusim.fidelity.blocks import blocks_of
from npusim.fidelity.composition import composed
from npusim.fidelity.elements import rounded
from npusim.fidelity.estimate import estimate, ratio_db
from npusim.fidelity.noise import decibels, noise_share, summed_product
from npusim.fidelity.quantiser import Quantiser, quantised
from npusim.fidelity.recovery import recovery_of, recovery_table
from npusim.fidelity.samples import drawn
from npusim.hardware.yaml_file import load_yaml
from npusim.ledger import Quantity
from npusim.workload.catalog import load_model
from npusim.workload.precision import SCHEMES, resolve_precision

MODEL = "llama-3.1-8b"
SMALL = "qwen2.5-0.5b"
CENTRE, BENIGN, HARSH = (5.0, 0.001, 20.0), (30.0, 0.001, 1.0), (5.0, 0.001, 30.0)


def _group(size: int) -> Quantity:
    return Quantity(value=size, unit="", kind="derived", source="this test", text=str(size))


def _how(element: str, per: str, group: int = 0, scale: str = "f32") -> Quantiser:
    return Quantiser.model_validate(
        {"format": element, "per": per, "group": _group(group) if group else None, "scale": scale}
    )


def _ratio(exact: np.ndarray, how: Quantiser) -> float:
    return decibels(noise_share(exact, quantised(exact, how)))


GAUSSIAN = np.random.default_rng(1).standard_normal((32, 4096))


@pytest.mark.parametrize(("element", "bits"), [("int4", 4), ("int8", 8)])
def test_a_full_scale_sine_and_a_uniform_input_have_the_ratios_of_textbooks(element: str, bits: int) -> None:
    """6.02 b + 1.76 dB and 6.02 b dB (Bennett 1948) of 2^b steps over the range; symmetric integers have 2^b - 2."""
    steps = 20.0 * math.log10(2**bits - 2)
    sine = np.sin(np.linspace(0.0, 2.0 * np.pi, 400_001))[None, :]
    even = np.linspace(-1.0, 1.0, 400_001)[None, :]
    tolerance = 0.15 if bits == 8 else 1.0
    assert _ratio(even, _how(element, "row")) == pytest.approx(steps, abs=tolerance)
    assert _ratio(sine, _how(element, "row")) == pytest.approx(steps + 1.76, abs=tolerance)


@pytest.mark.parametrize(("element", "mantissa", "least"), [("e4m3", 3, -6), ("e5m2", 2, -14), ("bf16", 7, -126)])
def test_a_normal_float_is_off_by_half_a_step_at_most(element: str, mantissa: int, least: int) -> None:
    values = np.random.default_rng(2).uniform(2.0**least, 400.0, 20_000)
    error = np.abs(rounded(values, element) - values) / values
    assert error.max() <= 2.0 ** -(mantissa + 1)
    assert error.max() > 0.8 * 2.0 ** -(mantissa + 1)


def test_rounding_ends_at_the_largest_number_and_ties_go_to_even() -> None:
    assert rounded(np.array([1e9, -1e9]), "e4m3").tolist() == [448.0, -448.0]
    assert rounded(np.array([7.0, 2.5, 3.5, 1.25]), "e2m1").tolist() == [6.0, 2.0, 4.0, 1.0]
    assert rounded(np.array([-9.0, 8.0, 2.5, 3.5]), "int4").tolist() == [-7.0, 7.0, 2.0, 4.0]
    held = np.arange(-8, 8).astype(ml_dtypes.int4).astype(float)
    assert set(rounded(held, "int4")) == set(range(-7, 8))


def test_a_scale_of_mx_is_a_power_of_two_and_one_of_nvfp4_an_e4m3() -> None:
    """OCP MX v1.0, 6.3: a block whose largest element is 5 has the scale 2^(2 - 2), so that 5 becomes 4."""
    block = np.zeros((1, 32))
    block[0, :2] = 5.0, 0.5
    assert quantised(block, _how("e2m1", "group", 32, "e8m0"))[0, :2].tolist() == [4.0, 0.5]
    assert quantised(block, _how("e2m1", "group", 16, "e4m3"))[0, 0] == pytest.approx(5.0, rel=2**-4)
    zero = np.zeros((2, 32))
    for scale in ("f32", "e8m0", "e4m3"):
        assert (quantised(zero, _how("e2m1", "group", 16, scale)) == 0.0).all()


@given(exponent=st.integers(-20, 20))
def test_a_power_of_two_changes_no_block(exponent: int) -> None:
    factor = 2.0**exponent
    values = GAUSSIAN[:4, :256]
    for how in (
        _how("e2m1", "group", 32, "e8m0"),
        _how("int8", "group", 128),
        _how("int4", "row"),
        _how("e4m3", "row"),
    ):
        np.testing.assert_allclose(quantised(factor * values, how), factor * quantised(values, how), rtol=1e-12)


@given(factors=st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4))
def test_scales_of_rows_undo_factors_of_rows(factors: list[float]) -> None:
    """What a tensor's scale cannot: its largest row decides for all."""
    scaled = np.array(factors)[:, None] * GAUSSIAN[:4]
    row = quantised(scaled, _how("int8", "row")) / np.array(factors)[:, None]
    plain = quantised(GAUSSIAN[:4], _how("int8", "row"))
    assert np.abs(row - plain).max() <= np.abs(plain).max() / 127 * 1.001
    assert _ratio(scaled, _how("int8", "row")) >= _ratio(scaled, _how("int8", "tensor")) - 0.1


def test_more_bits_and_finer_scales_are_never_worse() -> None:
    spread = drawn(4096, CENTRE, 0)[0]
    for values in (GAUSSIAN, spread):
        for per, group in (("tensor", 0), ("row", 0), ("group", 128)):
            assert _ratio(values, _how("int8", per, group)) > _ratio(values, _how("int4", per, group)) + 15.0
        finer = [_ratio(values, _how("int8", *how)) for how in (("tensor",), ("row",), ("group", 128), ("group", 32))]
        assert finer == sorted(finer)
        floats = [_ratio(values, _how(name, "row")) for name in ("e2m1", "e5m2", "e4m3")]
        assert floats == sorted(floats)


def test_a_group_as_long_as_a_row_is_the_row_and_a_last_one_may_be_shorter() -> None:
    row = quantised(GAUSSIAN[:, :100], _how("int8", "row"))
    np.testing.assert_array_equal(row, quantised(GAUSSIAN[:, :100], _how("int8", "group", 100)))
    np.testing.assert_array_equal(row, quantised(GAUSSIAN[:, :100], _how("int8", "group", 128)))
    apart = quantised(GAUSSIAN[:, :100], _how("int8", "group", 64))
    np.testing.assert_array_equal(apart[:, 64:], quantised(GAUSSIAN[:, 64:100], _how("int8", "row")))


def test_outliers_hurt_scales_of_tensors_more_than_scales_of_groups() -> None:
    lost = {}
    for per, group in (("tensor", 0), ("group", 128)):
        plain, with_outliers = (
            _ratio(drawn(4096, spread, 0)[0], _how("int8", per, group)) for spread in (BENIGN, HARSH)
        )
        lost[per] = plain - with_outliers
    assert lost["tensor"] > 15.0
    assert lost["group"] < lost["tensor"] - 10.0


def test_a_rounded_sum_loses_with_its_length_and_with_every_rounding() -> None:
    generator = np.random.default_rng(4)
    shares = []
    for length in (256, 1024, 4096):
        rows, columns = (np.abs(generator.standard_normal((8, length))) for _ in range(2))
        shares.append(noise_share(summed_product(rows, columns), summed_product(rows, columns, "bf16")))
    assert shares == sorted(shares)
    assert shares[-1] > 4 * shares[0]
    often, seldom = (
        noise_share(summed_product(rows, columns), summed_product(rows, columns, "bf16", terms)) for terms in (1, 64)
    )
    assert (
        often > seldom > noise_share(summed_product(rows, columns), summed_product(rows, columns, "bf16", 4096)) > 0.0
    )


def test_sqnr_of_drawn_tensors_is_what_was_computed_elsewhere() -> None:
    """An independent computation on Gaussian tensors with ml_dtypes 0.6, in dB."""
    for how, ratio in (
        (_how("bf16", "element"), 55.6), (_how("e4m3", "row"), 31.6), (_how("e5m2", "row"), 25.6),
        (_how("int8", "row"), 42.1), (_how("int8", "tensor"), 38.9), (_how("e2m1", "group", 16, "e4m3"), 20.4),
        (_how("e2m1", "group", 32, "e8m0"), 18.8), (_how("int4", "group", 128), 18.6), (_how("int4", "row"), 16.9),
    ):  # fmt: skip
        assert _ratio(GAUSSIAN, how) == pytest.approx(ratio, abs=1.2), how


def test_noise_of_blocks_adds_up_as_the_formula_says() -> None:
    growth, share = 1.25, 0.2
    assert composed([0.01], growth, 1.0) == pytest.approx(share * 0.01)
    assert composed([0.01, 0.03, 0.02], growth, 1.0) == pytest.approx(share * 0.06)
    carried = composed([0.01, 0.03], growth, 1.5)
    assert carried == pytest.approx(share * 0.01 * (1 + share * 0.5) + share * 0.03)
    assert composed([0.01] * 9, 1.0, 1.0) == 0.0


def test_blocks_are_those_of_the_model() -> None:
    model = load_model(MODEL)
    blocks = blocks_of(model)
    assert len(blocks) == 2 * model.layers
    assert [each.inputs for each in blocks[0].products] == [4096, 4096]
    assert [(each.inputs, each.times) for each in blocks[1].products] == [(4096, 2), (14336, 1)]
    latent = blocks_of(load_model("deepseek-v3"))[0]
    assert [each.inputs for each in latent.products] == [7168, 1536, 512, 128 * 128]
    experts = blocks_of(load_model("qwen3-30b-a3b"))[1]
    assert [each.inputs for each in experts.products] == [2048, 768]


CONFIGS = sorted((Path(__file__).parent / "samples" / "configs").glob("*.json"))


def test_every_family_has_blocks_of_products() -> None:
    for path in CONFIGS:
        model = load_model(str(path))
        blocks = blocks_of(model)
        assert len(blocks) >= model.layers, path.name
        assert all(each.inputs > 0 and each.times > 0 for block in blocks for each in block.products), path.name
        assert all(block.products for block in blocks), path.name


def test_independent_roundings_add_their_powers() -> None:
    """A product of two rounded operands has the sum of their shares of noise, where rows have no outliers."""
    answer = npusim.precision(SMALL, schemes=["fp8"]).answer
    part = answer["schemes"][0]["products"][0]
    shares = {name: 10 ** (-part[name]["high"] / 10) for name in part if name.endswith("sqnr_db")}
    assert shares["sqnr_db"] == pytest.approx(shares["weights_sqnr_db"] + shares["activations_sqnr_db"], rel=0.4)


def _of(name: str, *schemes: str, kv: str = "bf16") -> dict[str, float]:
    found = estimate(load_model(name), tuple(map(quantisers_of, schemes)), kv, 0)
    return {each.scheme.name: each.sqnr_db.value for each in found}


def test_every_scheme_has_a_band_that_holds_its_value_in_the_order_of_its_bits() -> None:
    assert {each.scheme for each in fidelity_table().schemes} == set(SCHEMES)
    for name, (weights, activations) in SCHEMES.items():
        how = quantisers_of(name)
        formats = {"fp8": "e4m3", "mxfp4": "e2m1", "nvfp4": "e2m1"}
        assert (how.weights.format, how.activations.format) == tuple(
            formats.get(each, each) for each in (weights, activations)
        )
    found = estimate(load_model(SMALL), tuple(fidelity_table().schemes), "bf16", 0)
    for each in found:
        assert each.sqnr_db.low < each.sqnr_db.value < each.sqnr_db.high
    ratio = {each.scheme.name: each.sqnr_db.value for each in found}
    assert ratio["bf16"] > ratio["w8a16"] > ratio["int8:group"] > ratio["int8"] > ratio["int8:tensor"]
    assert ratio["fp8"] > ratio["fp8:e5m2"] > ratio["nvfp4a16"] > ratio["nvfp4"]
    assert ratio["w8a16"] > ratio["w4a16"] > ratio["w4a16:row"]
    assert ratio["int8"] > ratio["int8:pim"]
    assert ratio["mxfp4"] > ratio["mxfp4:w4a4"]


def test_narrow_keys_and_values_add_noise() -> None:
    wide, narrow = (_of(SMALL, "bf16", kv=kv)["bf16"] for kv in ("bf16", "fp8"))
    assert narrow < wide - 10.0


def test_a_checkpoint_in_its_own_format_is_the_reference() -> None:
    """gpt-oss is stored in MXFP4: running it so rounds activations alone; other formats round what is stored."""
    model = load_model("gpt-oss-20b")
    own, other = estimate(model, (quantisers_of("mxfp4"), quantisers_of("w4a16")), "bf16", 0)
    assert own.reference and recovery_of(model, own).low == 1.0
    assert own.sqnr_db.value > other.sqnr_db.value + 20.0
    assert recovery_of(model, other).standing == "unknown"
    (narrow,) = estimate(model, (quantisers_of("mxfp4:w4a4"),), "bf16", 0)
    assert not narrow.reference
    (cached,) = estimate(model, (quantisers_of("mxfp4"),), "fp8", 0)
    assert recovery_of(model, cached).standing == "unknown"


def test_activations_that_a_chip_keeps_wide_lose_nothing() -> None:
    widened = resolve_precision("nvfp4", "bf16")
    widened = type(widened)(widened.name, widened.weights, "bf16", widened.kv)
    usual, plain = quantisers_of("nvfp4"), quantisers_of("bf16").activations
    assert quantisers_for(widened).activations == plain != usual.activations
    assert quantisers_for(resolve_precision("nvfp4", "bf16")) == usual


def test_recovery_is_of_like_models_in_the_same_scheme_or_unknown() -> None:
    int8 = npusim.precision(MODEL, schemes=["int8"]).answer["recovery"]
    told = [each.recovery for each in recovery_table().published if each.scheme == "int8" and MODEL in each.models]
    assert (int8["low"], int8["high"]) == (min(each.low for each in told), max(each.high for each in told))
    assert int8["standing"] == "published" and len(int8["sources"]) == len(told)
    assert all("arXiv" in source or "Red Hat" in source for source in int8["sources"])
    for model, scheme in ((MODEL, "int8:tensor"), (MODEL, "int8:pim"), (MODEL, "w4a8"), ("qwen3-8b", "int8"),
                          ("llama-3.2-1b", "int8")):  # fmt: skip
        unknown = npusim.precision(model, schemes=[scheme]).answer["recovery"]
        assert unknown == {"low": None, "high": None, "standing": "unknown", "sources": []}, (model, scheme)


def test_what_is_recalled_says_so_and_has_a_range() -> None:
    table = fidelity_table()
    for each in (table.signal.tail, table.signal.outlier_share, table.signal.outlier_scale, *(table.residual.growth,)):
        assert each.kind == "assumed" and each.low < each.value < each.high
    for published in recovery_table().published:
        assert published.recovery.source
        if "recalled, not re-read" in published.recovery.source:
            assert published.recovery.kind == "assumed"


def test_the_band_is_over_all_corners(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wider range is a wider band."""
    usual = estimate(load_model(SMALL), (quantisers_of("int8"),), "bf16", 0)[0].sqnr_db
    assert len(signal_spreads()) == 1 + 2**3
    narrow = fidelity_table()
    scale = narrow.signal.outlier_scale
    signal = narrow.signal.model_copy(update={"outlier_scale": scale.model_copy(update={"low": 19.0, "high": 21.0})})
    monkeypatch.setattr(assumptions, "fidelity_table", lambda: narrow.model_copy(update={"signal": signal}))
    estimate.cache_clear()
    less = estimate(load_model(SMALL), (quantisers_of("int8"),), "bf16", 0)[0].sqnr_db
    estimate.cache_clear()
    assert less.value == usual.value
    assert usual.low < less.low < less.high < usual.high


def test_a_seed_gives_the_same_bytes_and_another_almost_the_same_ratio(tmp_path: Path) -> None:
    first, again = (process("precision", SMALL, "--scheme", "int8", "--json", folder=tmp_path) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout and first.stderr == ""
    other = tell("precision", SMALL, "--scheme", "int8", "--seed", "7", "--json").json
    told = json.loads(first.stdout)
    assert other["sqnr_db"] != told["sqnr_db"]
    assert other["sqnr_db"] == pytest.approx(told["sqnr_db"], abs=2.0)
    assert {"sqnr_db", "sqnr_band_db", "recovery", "schemes", "formula", "assumptions", "manifest"} <= told.keys()


def test_several_schemes_are_told_in_the_order_in_which_they_are_asked() -> None:
    apart = tell("precision", SMALL, "--scheme", "int8", "--scheme", "w4a16,bf16", "--json").json
    assert [each["scheme"] for each in apart["schemes"]] == ["int8", "w4a16", "bf16"]
    assert apart["sqnr_db"] == apart["schemes"][0]["sqnr_db"]
    alone = tell("precision", SMALL, "--scheme", "w4a16", "--json").json
    assert alone["sqnr_db"] == apart["schemes"][1]["sqnr_db"]
    told = tell("precision", SMALL)
    assert told.code == 0
    assert all(f" {name} " in told.out for name in SCHEMES) and "unknown" in told.out


def test_mistakes_are_one_line() -> None:
    assert "unknown scheme; use one of: bf16" in mistake("precision", SMALL, "--scheme", "int9")
    assert "int8:tensor" in mistake("precision", SMALL, "--scheme", "int8:banana")
    assert "unknown KV format" in mistake("precision", SMALL, "--kv-precision", "int3")
    assert "unknown model" in mistake("precision", "no-such-model")
    assert "must be 0 or more" in mistake("precision", SMALL, "--seed", "-1")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("per: row}\n    activations: *e4m3\n", "per: bank}\n    activations: *e4m3\n", "per"),
        ("scale: e8m0", "scale: e8m1", "scale"),
        ("group: {value: 16,", "group: {value: 0,", "group"),
        ("per: group\n      group: {value: 32,", "per: row\n      group: {value: 32,", "where `per` is group"),
        ("    low: 3\n", "", "needs low and high"),
    ],
)
def test_a_broken_table_is_one_line(old: str, new: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "fidelity.yaml"
    shutil.copy(Path(__file__).parent.parent / "workloads" / "fidelity.yaml", path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=says):
        load_yaml(path, type(fidelity_table()))


def test_ratios_of_bands_are_the_other_way_round() -> None:
    from npusim.fidelity.samples import Noise

    ratio = ratio_db(Noise(0.01, 0.001, 0.1))
    assert (ratio.value, ratio.low, ratio.high) == (20.0, 10.0, 30.0)
    assert decibels(0.0) == math.inf


def test_the_workbook_tells_fidelity_apart_from_accuracy(tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "name: one\ntitle: one\nsource: this test\narrival: burst\nrequests_per_user: 1\n"
        "points: [{isl: 64, osl: 4, users: [1]}]\n"
    )
    (result,) = npusim.kperf("rngd", [SMALL], str(grid), precision="fp8", interval=False)
    row = result.cells.iloc[0]
    alone = npusim.precision(SMALL, schemes=["fp8"]).answer
    assert row["fidelity_sqnr_db"] == alone["sqnr_db"]
    assert row["fidelity_sqnr_db_low"] == alone["sqnr_band_db"]["low"]
    assert row["fidelity_recovery"] == "unknown"
    owners = result.provenances[result.provenances["owner"] == "fidelity"]
    assert "signal.outlier_scale" in set(owners["path"])
