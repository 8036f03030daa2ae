"""A node's drift has its name, whatever becomes of the reference meanwhile."""

from __future__ import annotations

import pytest
import torch
from polyrank.aggregation import Summary, SummarySpec, add, summarise
from polyrank.coordinator._drift_names import Past
from polyrank.coordinator._observe import Window, observe
from polyrank.coordinator._watch import PATH_WINDOWS, Moments, Watch
from polyrank.store import AdaptationPolicy, InvalidValue
from polyrank.store._families import MAX_WATCH_BYTES
from polyrank.store._json import dumps

SPEC = SummarySpec(3, projected=8, fourier=64, bandwidth=1.0)
POLICY = AdaptationPolicy()
ROWS = 60


def windows(shares: list[float], seed: int) -> dict[str, Summary]:
    """Draw windows of rows, a share of each from another place, by task key."""
    draw = torch.Generator().manual_seed(seed)
    found: dict[str, Summary] = {}
    for number, share in enumerate(shares, 1):
        rows = torch.randn(ROWS, 12, generator=draw)
        rows[:, :3] += 1.0
        rows[: round(share * ROWS), :3] -= 2.0
        found[f"{number:02}"] = summarise(SPEC, [0.1, 0.2] * (ROWS // 2), features=rows)
    return found


def named(shares: list[float], *, pins: bool, seed: int = 1) -> tuple[list[str], Watch]:
    """Review a node's windows one after the other; return what each was called."""
    found, watch, names = windows(shares, seed), Watch(), list[str]()
    for number, (key, summary) in enumerate(found.items(), 1):
        now = Watch.from_json(watch.to_json())
        past = Past(
            [add(found[one] for one in keys) for keys in now.earlier],
            [[found[one] for one in keys] for keys in now.path],
        )
        finding = observe(
            Window(key, "ann", "line", summary),
            now,
            add(found[one] for one in now.reference) if len(now.reference) == 4 else None,
            POLICY,
            is_reference=True,
            review=number,
            past=lambda past=past: past,
        )
        names.append(finding.evidence.drift)
        assert finding.is_news or not finding.evidence.drift, "a name is listed"
        is_new = (finding.evidence.novelty_z or 0.0) > POLICY.z_novelty
        watch = finding.watch.pinned() if pins and is_new else finding.watch
        assert watch.path[-1][-1] == key
    return names, watch


def test_a_slow_change_is_gradual_though_a_pin_makes_a_new_reference() -> None:
    slow = [0.0] * 6 + [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0]
    for seed in range(3):
        names, watch = named(slow, pins=True, seed=seed)
        assert set(names[:6]) == {""}
        assert watch.earlier, "its reference was put aside"
        assert "gradual" in names[6:10]
        assert set(names[9:]) == {"gradual"}


@pytest.mark.parametrize("pins", [True, False])
def test_a_jump_is_sudden_and_the_way_back_and_forth_again_is_recurring(pins: bool) -> None:
    names, watch = named([0.0] * 6 + [1.0] * 4 + [0.0] * 3 + [1.0], pins=pins)
    assert names[6] == "sudden"
    assert names[10] == names[13] == "recurring"
    assert set(names[7:10]) == ({""} if pins else {"sudden"}), "as long as it is an alarm"
    assert [len(keys) for keys in watch.path] == [4, 4, 3, 1]


def test_the_path_of_a_node_outlives_a_move_and_has_a_bound() -> None:
    _, watch = named([0.0] * 20, pins=False)
    assert [len(keys) for keys in watch.path] == [PATH_WINDOWS]
    assert watch.moved().path == watch.path
    assert watch.moved().reference == ()


def test_a_watch_is_small_enough_for_its_record_whatever_the_policy_and_the_past():
    most, watch = 8, Watch()
    with pytest.raises(InvalidValue, match="base_windows"):
        AdaptationPolicy(base_windows=most + 1)
    moments = Moments(10**6, 1 / 3 * 10**6, 2 / 3 * 10**6)
    for number in range(100):
        key = f"{number:064x}"
        for _ in range(most):
            watch = watch.after(
                key, moments, is_harmful=False, is_reference=True, windows=most, review=10**6,
                shown=(-100 / 3, -100 / 7, -100 / 9), named="label_prior",
            )  # fmt: skip
        assert len(dumps(watch.to_json())) <= MAX_WATCH_BYTES
        watch = watch.pinned() if number % 2 else watch.moved()
