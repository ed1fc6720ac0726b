"""Numbers with units and provenances, and errors in one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from npusim.errors import DoesNotFit, UserError
from npusim.ledger import (
    Bandwidth,
    Bytes,
    Count,
    Duration,
    Efficiency,
    Fraction,
    Quantity,
    Ratio,
    provenances,
    range_text,
    value_text,
)
from npusim.units import is_binary_rate, readable, to_si


def _read(kind: Any, raw: Any) -> Quantity:
    quantity = TypeAdapter(kind).validate_python(raw)
    assert isinstance(quantity, Quantity)
    return quantity


def _provenance(value: Any, **more: Any) -> dict[str, Any]:
    return {"value": value, "kind": "datasheet", "source": "a datasheet"} | more


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("48 GiB", "B", 48 * 2**30),
        ("48 GB", "B", 48e9),
        ("1.5 TB/s", "B/s", 1.5e12),
        ("4800 GiB/s", "B/s", 4800 * 2**30),
        ("4 bit", "B", 0.5),
        ("16 bit", "bit", 16.0),
        ("256 B/cycle", "B/cycle", 256.0),
        ("2 GHz", "cycle/s", 2e9),
        ("0.4 us", "s", 0.4e-6),
        ("0.4 µs", "s", 0.4e-6),
        ("60 pJ/B", "J/B", 60e-12),
        ("5 pJ/bit", "J/B", 40e-12),
        ("0.9 pJ/op", "J/op", 0.9e-12),
        ("16 token", "token", 16.0),
        ("700 W", "W", 700.0),
        ("7 %", "", 0.07),
        ("64 KB", "B", 64e3),
        ("64 KiB", "B", 65536.0),
        ("1.2 ghz", "cycle/s", 1.2e9),
        ("900 MHZ", "cycle/s", 900e6),
        ("900 mhz", "cycle/s", 900e6),
        ("9.6 Gb/s per pin", "B/s", 1.2e9),
        ("9600 Mbit/s/pin", "B/s", 1.2e9),
        ("1,500 GB/s", "B/s", 1.5e12),
        ("1_000 B", "B", 1000.0),
        ("1e3 B", "B", 1000.0),
        (8, "", 8.0),
        (0.83, "", 0.83),
    ],
)
def test_text_with_a_unit_becomes_si(text: str | float, unit: str, value: float) -> None:
    assert to_si(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("48", "B", "'48' has no unit; write it as e.g. '48 B'"),
        (48, "B/s", "'48' has no unit; write it as e.g. '48 B/s'"),
        ("48 GHz", "B/s", "'GHz' is not a unit of B/s"),
        ("48 GB", "B/s", "'GB' is not a unit of B/s"),
        ("3 us", "", "'us' is not a unit of a plain number"),
        ("48 gigs", "B", "unknown unit 'gigs'"),
        ("48 Tb/s", "B/s", "unknown unit 'Tb/s'"),
        ("fast", "B/s", "'fast' is not a number with a unit"),
        (True, "", "'True' is not a number with a unit"),
        (None, "B", "'None' is not a number with a unit"),
        (float("nan"), "", "'nan' is not a number with a unit"),
    ],
)
def test_text_that_is_no_such_quantity(text: Any, unit: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        to_si(text, unit)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["3 GB/(s", "2 **", "5 GB/s/", "5 B/0", "5 {", "5 ?", "5 @", "5 #x", "2^10 B"])
def test_a_garbled_unit_is_a_mistake_and_no_crash(text: str) -> None:
    with pytest.raises(ValueError):
        to_si(text, "B/s")


@pytest.mark.parametrize("text", ["1,5 TB/s", "1,,0 TB/s", "1__0 TB/s"])
def test_a_comma_is_no_decimal_point(text: str) -> None:
    with pytest.raises(ValueError):
        to_si(text, "B/s")


@given(st.floats(1e-3, 1e6), st.sampled_from(["k", "M", "G", "T"]))
def test_decimal_prefixes_scale(number: float, prefix: str) -> None:
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
    assert to_si(f"{number!r} {prefix}B/s", "B/s") == pytest.approx(number * factor, rel=1e-12)


@pytest.mark.parametrize("text", ["4800 GiB/s", "1.4 TiB/s", "30 MiB / s"])
def test_binary_rates_are_known(text: str) -> None:
    assert is_binary_rate(text)


@pytest.mark.parametrize("text", ["4800 GB/s", "48 GiB", 5])
def test_other_quantities_are_no_binary_rates(text: str | int) -> None:
    assert not is_binary_rate(text)


def test_a_size_in_binary_multiples_is_as_written() -> None:
    assert _read(Bytes, _provenance("48 GiB")).value == 48 * 2**30


def test_a_provenance_is_read_whole() -> None:
    raw = _provenance("1.5 TB/s", kind="assumed", low="1.2 TB/s", high="1800 GB/s", sd="0.1 TB/s", date="2026-11-01")
    quantity = _read(Bandwidth, raw)
    assert (quantity.value, quantity.low, quantity.high, quantity.sd) == (1.5e12, 1.2e12, 1.8e12, 0.1e12)
    assert (quantity.unit, quantity.text, quantity.date) == ("B/s", "1.5 TB/s", "2026-11-01")
    assert quantity.is_assumed
    assert _read(Bandwidth, quantity) == quantity


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        (Count, 5, "a bare number has no provenance"),
        (Bytes, {"value": "5 GB"}, "the provenance lacks kind, source"),
        (Bytes, _provenance("5 GB", source="  "), "the source is empty"),
        (Bytes, _provenance(5), "'5' has no unit"),
        (Bytes, _provenance("5 GB", low=4), "'4' has no unit"),
        (Bytes, _provenance("0 GB"), "'0 GB' must be more than zero"),
        (Bytes, _provenance("-5 GB"), "'-5 GB' must be more than zero"),
        (Bytes, _provenance("1e999 B"), "is larger than any number"),
        (Bytes, _provenance("1e300 B"), "is out of range"),
        (Bandwidth, _provenance("1e-300 B/s"), "is out of range"),
        (Bytes, _provenance("5 GB", sd="-1 GB"), "no standard deviation"),
        (Bytes, _provenance(None), "the provenance lacks value"),
        (Count, _provenance(1.5), "must be a whole number"),
        (Efficiency, _provenance(1.5), "is out of range: at most 1"),
        (Efficiency, _provenance(1) | {"5 GHz": None}, "has a decimal comma"),
        (Efficiency, _provenance(0), "must be more than zero"),
        (Fraction, _provenance(0.5, high=1.01), "is out of range"),
        (Duration, _provenance("-1 s"), "'-1 s' must be zero or more"),
        (Count, _provenance(3, kind="assumed"), "an assumed number needs low and high"),
        (Count, _provenance(3, kind="assumed", low=2), "an assumed number needs low and high"),
        (Count, _provenance(3, low=4, high=5), "the range 4 ... 5 does not hold the value 3"),
        (Count, _provenance(3, high=2), "does not hold the value 3"),
        (Count, _provenance(3, kind="guessed"), "Input should be 'measured', 'datasheet', 'derived'"),
        (Count, _provenance(3, note="x"), "Extra inputs are not permitted"),
    ],
)
def test_a_provenance_that_is_none(kind: Any, raw: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _read(kind, raw)
    assert message in str(caught.value)


@pytest.mark.parametrize(("kind", "unit"), [(Count, ""), (Bytes, " B"), (Ratio, ""), (Duration, " s")])
def test_a_range_does_not_reach_below_zero(kind: Any, unit: str) -> None:
    with pytest.raises(ValidationError):
        _read(kind, _provenance(f"3{unit}", low=f"-1{unit}"))


@pytest.mark.parametrize(("kind", "text"), [(Ratio, "0"), (Duration, "0 us")])
def test_ratios_and_times_may_be_zero(kind: Any, text: str) -> None:
    assert _read(kind, _provenance(text)).value == 0.0


class _Leaf(BaseModel):
    name: str
    size: Bytes


class _Tree(BaseModel):
    rate: Bandwidth
    best: _Leaf | None = None
    leaves: tuple[_Leaf, ...] = ()


def test_provenances_are_found_wherever_they_stand() -> None:
    leaf = {"name": "first", "size": _provenance("1 B")}
    tree = _Tree.model_validate({"rate": _provenance("1 B/s"), "best": leaf, "leaves": [leaf, leaf | {"name": "b"}]})
    found = list(provenances("tree", tree))
    assert [item.path for item in found] == ["rate", "best.size", "leaves.first.size", "leaves.b.size"]
    assert {item.owner for item in found} == {"tree"}
    assert [item.quantity.value for item in found] == [1.0] * 4


def test_an_error_is_one_line_with_place_key_and_mend() -> None:
    error = UserError("chip.yaml:3", "chip.unit", "is wrong;\n   mend it")
    assert str(error) == "chip.yaml:3: chip.unit: is wrong; mend it"
    assert str(UserError("--cards", "", "give 1")) == "--cards: give 1"
    fit = DoesNotFit("llama", "does not fit", 4)
    assert isinstance(fit, UserError)
    assert (fit.cards_needed, str(fit)) == (4, "llama: does not fit")


@pytest.mark.parametrize(
    ("value", "unit", "like", "told"),
    [
        (8.651e-7, "s", "8.651e-07 s", "0.8651 µs"),
        (8.651e-7, "s", "", "0.8651 µs"),
        (5e-6, "s", "5 us", "5 µs"),
        (0.0, "s", "0 us", "0 µs"),
        (1.5e12, "B/s", "1.5 TB/s", "1.5 TB/s"),
        (800e6, "B/s", "6400 Mbit/s", "6,400 Mbit/s"),
        (48 * 2.0**30, "B", "48 GiB", "48 GiB"),
        (65536.0, "token", "65536 token", "65,536 token"),
        (4e-13, "J/B", "4e-13 J/B", "0.4 pJ/B"),
        (0.004, "", "0.004", "0.004"),
        (2e9, "cycle/s", "", "2 GHz"),
    ],
)
def test_numbers_are_shown_in_units_that_people_read(value: float, unit: str, like: str, told: str) -> None:
    assert readable(value, unit, like) == told


@given(st.floats(1e-14, 1e3))
def test_a_time_that_is_shown_is_that_time(seconds: float) -> None:
    assert to_si(readable(seconds, "s"), "s") == pytest.approx(seconds, rel=5e-3, abs=5e-15)


def test_a_range_has_the_unit_of_its_value() -> None:
    number = {"value": 8.65e-7, "unit": "s", "text": "8.65e-07 s", "low": 5e-7, "high": 2e-6}
    assert (value_text(number), range_text(number)) == ("0.865 µs", "0.5 to 2 µs")
    assert range_text(number | {"low": None}) == "-"
