"""The settings: their bounds, and how they are recorded."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from polyrank.store import AdaptationPolicy, InvalidValue
from store_reviews import POLICIES


@settings(max_examples=40, deadline=None)
@given(POLICIES)
def test_settings_survive_json_text(policy: AdaptationPolicy):
    text = policy.canonical()
    assert AdaptationPolicy.from_json(json.loads(text)) == policy
    assert AdaptationPolicy.from_json(json.loads(text)).canonical() == text


def test_every_setting_is_recorded_even_at_its_default():
    names = {field.name for field in fields(AdaptationPolicy)}
    assert set(AdaptationPolicy().to_json()) == names
    assert AdaptationPolicy.from_json({}) == AdaptationPolicy()


def test_the_default_thresholds_are_those_that_were_calibrated():
    results = Path(__file__).parents[2] / "benchmarks" / "results" / "continual_thresholds.json"
    calibrated = json.loads(results.read_text())["policy"]
    assert calibrated.keys() >= {"z_loss", "z_novelty", "z_prior", "z_pair", "merge_tolerance"}
    defaults = AdaptationPolicy().to_json()
    assert {name: defaults[name] for name in calibrated} == calibrated


def test_every_setting_is_documented():
    documented = AdaptationPolicy.__doc__ or ""
    assert all(f"\n        {field.name}: " in documented for field in fields(AdaptationPolicy))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"min_identities": 1}, "min_identities: 1 is not a whole number from 2"),
        ({"z_loss": -1.0}, "z_loss: -1.0"),
        ({"z_pair": float("nan")}, "z_pair: nan"),
        ({"confirm": 4}, "confirm: 4 of 3 windows"),
        ({"confirm": 0}, "confirm: 0"),
        ({"base_windows": 0}, "base_windows: 0"),
        ({"false_positive_rate": 0.0}, "false_positive_rate: 0.0"),
        ({"expansion_level": 1.0}, "expansion_level: 1.0"),
        ({"max_probes": 0}, "max_probes: 0"),
        ({"merge_tolerance": -0.1}, "merge_tolerance: -0.1"),
        ({"shrink_headroom": 0.5}, "shrink_headroom: 0.5"),
        ({"max_rank": 0}, "max_rank: 0"),
        ({"max_total_bytes": -1}, "max_total_bytes: -1"),
        ({"z_los": 2.0}, "z_los: there is no such field"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(change: dict[str, Any], problem: str):
    with pytest.raises(InvalidValue, match=f"AdaptationPolicy.{problem}"):
        AdaptationPolicy.from_json(change)


def test_a_policy_is_checked_when_it_is_changed_too():
    with pytest.raises(InvalidValue, match="refractory"):
        replace(AdaptationPolicy(), refractory=-1)
