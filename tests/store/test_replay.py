"""Recorded evidence gives the same choices, byte for byte."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from polyrank.store import (
    AdaptationPolicy,
    Choice,
    InvalidValue,
    Review,
    choices_to_json,
    decide,
    replay,
)
from store_reviews import (
    POLICIES,
    POLICY,
    contradicted,
    harmed,
    member,
    novel,
    probe,
    review,
    reviews,
    root,
    side,
    trial,
)


def payload(made: Review, policy: AdaptationPolicy = POLICY) -> dict[str, Any]:
    return {"review": made.to_json(), "policy": policy.to_json()}


@settings(max_examples=60, deadline=None)
@given(reviews(), POLICIES)
def test_a_replay_gives_what_was_chosen(made: Review, policy: AdaptationPolicy):
    chosen = choices_to_json(decide(made, policy))
    recorded = json.loads(json.dumps(payload(made, policy)))
    text = replay(recorded)
    assert json.loads(text) == chosen
    assert (
        text
        == json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )
    assert tuple(Choice.from_json(values) for values in json.loads(text)) == decide(made, policy)


STORY = review(
    contradicted("ann", probes=(probe("demo/2", 0.1, 0.07), probe("demo/3", -0.5))),
    contradicted("bob", probes=(probe("demo/2", 0.03, 0.07), probe("demo/3", -0.1))),
    harmed("cyd", probes=(probe("demo/3", 0.4),)),
    novel("dan", adapter="demo/2"),
    members=(root(), member(2), member(3, state="archived", users=0), member(4, idle=2, users=0)),
    quiet={"demo": 2, "demo/2": 1},
    trials=(trial("demo/2", "demo/4", side("demo/2", 0.1), side("demo/4", 0.0)),),
)
TOLD = (
    '[{"adapter":"demo","kind":"reroute","nodes":["cyd"],"numbers":{"gain":0.4,"gain_z_least":8.0,'
    '"gain_z_most":8.0,"harm_z_least":4.0,"harm_z_most":4.0,"loss_rise":0.1,"min_gain":0.02,'
    '"nodes":1,"z_loss":2.33,"z_pair":3.085},"reason":"1 node of demo loses'
)


def test_the_form_of_the_bytes_does_not_change_from_one_release_to_the_next():
    text = replay(payload(STORY)).decode()
    assert text.startswith(TOLD)
    kinds = [values["kind"] for values in json.loads(text)]
    assert kinds == ["reroute", "pin", "keep", "keep", "archive"]


def test_another_process_with_another_hash_seed_gives_the_same_bytes():
    script = (
        "import json, sys; from polyrank.store import replay; "
        "sys.stdout.buffer.write(replay(json.load(sys.stdin)))"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(payload(STORY)).encode(),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert done.stdout == replay(payload(STORY))


def test_evidence_of_before_a_setting_existed_is_read_with_its_default():
    recorded = payload(STORY)
    del recorded["policy"]["pin_level"]
    assert replay({**recorded, "spec": {"seed": 1}}) == replay(payload(STORY))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"review": None}, "review: NoneType is not a JSON object"),
        ({"review": {}}, "review.family: is missing"),
        ({"policy": []}, "policy: list is not a JSON object"),
        ({"policy": {"z_loss": "high"}}, "policy.z_loss: 'high' is not a number"),
    ],
)
def test_what_is_no_evidence_is_refused_by_name(change: dict[str, Any], problem: str):
    with pytest.raises(InvalidValue, match=problem):
        replay({**payload(STORY), **change})
    with pytest.raises(InvalidValue, match="payload: not a JSON object"):
        replay([])  # pyright: ignore[reportArgumentType]
