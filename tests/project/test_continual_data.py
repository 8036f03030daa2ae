"""The benchmark's streams: who drifts, when, to what; no row is seen twice or tested on."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # as when it is run

import continual_data as data
from continual_data import DRIFT, MOVERS, NODES, ROUNDS, STREAMS, Pool, stream

DOMAINS = ("tweets", "movies", "nyt", "amazon")


@pytest.fixture(scope="module")
def pool():
    """Rows without texts, as many as the real domains have; the label is the row's parity."""
    sizes = {"tweets": 2400, "movies": 10070, "nyt": 2400, "amazon": 2400}
    domains = [domain for domain in DOMAINS for _ in range(sizes[domain])]
    rows = len(domains)
    return Pool(tuple(map(str, range(rows))), tuple(row % 2 for row in range(rows)), tuple(domains))


@pytest.fixture(scope="module")
def streams(pool):
    return {name: stream(name, pool, 3) for name in STREAMS}


def labels_of(pool, rows):
    return [pool.labels[row] for row in rows]


@pytest.mark.parametrize("name", STREAMS)
def test_windows_have_80_rows_and_one_round_more_than_is_trained(streams, name):
    windows = streams[name].windows
    assert [len(row) for row in windows] == [NODES] * (ROUNDS + 1)
    assert {len(window.rows) for row in windows for window in row} == {80}
    assert {len(window.labels) for row in windows for window in row} == {80}


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "conflict_moderate"])
def test_no_row_comes_twice(streams, name):
    seen = Counter(row for each in streams[name].windows for window in each for row in window.rows)
    assert set(seen.values()) == {1}


def test_a_domain_that_is_too_small_is_dealt_out_before_it_is_dealt_again(streams):
    windows = streams["conflict_moderate"].windows
    seen = Counter(row for each in windows for window in each for row in window.rows)
    assert set(seen.values()) == {1, 2}


@pytest.mark.parametrize("name", STREAMS)
def test_tests_are_balanced_and_never_in_a_window(streams, name):
    found = streams[name]
    seen = {row for each in found.windows for window in each for row in window.rows}
    for concept, test in found.tests.items():
        assert not seen & set(test.rows), concept
        assert (len(set(test.rows)), sum(test.labels)) == (400, 200)
    assert set(found.tests) == {
        concept for each in found.windows for window in each for concept in window.shares
    }


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_a_function_of_name_and_seed(streams, pool, name):
    assert stream(name, pool, 3) == streams[name]
    other = stream(name, pool, 4)
    assert other.windows != streams[name].windows
    assert [[w.concept for w in each] for each in other.windows] == [
        [w.concept for w in each] for each in streams[name].windows
    ]


@pytest.mark.parametrize("name", STREAMS)
def test_before_the_drift_all_streams_of_a_seed_are_one(streams, name):
    if name != "conflict_moderate":  # it has two domains from the start
        assert streams[name].windows[:DRIFT] == streams["quiet"].windows[:DRIFT]


def timetable(found, node):
    return [windows[node].concept for windows in found.windows]


AT_ONCE = {
    "quiet": ("movies", "movies"),
    "prior_shift": ("movies", "movies"),
    "sudden": ("movies", "tweets"),
    "conflict_full": ("movies", "movies!"),
    "conflict_moderate": ("movies+amazon", "movies+amazon!"),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_the_movers_change_in_round_six_and_stay(streams, name):
    before, after = AT_ONCE[name]
    for node in range(NODES):
        expected = [before] * 6 + [after if node in MOVERS else before] * 11
        assert timetable(streams[name], node) == expected


@pytest.mark.parametrize(
    ("name", "other"), [("recurring", "tweets"), ("conflict_recurring", "movies!")]
)
def test_what_recurs_is_away_for_three_rounds(streams, name, other):
    back = ["movies"] * 6 + [other] * 4 + ["movies"] * 3 + [other] * 4
    assert timetable(streams[name], 5) == back
    assert timetable(streams[name], 0) == ["movies"] * 17


def test_every_node_moves_to_one_of_three_domains(streams):
    found = streams["every_node_moves"]
    assert [timetable(found, node)[5] for node in range(NODES)] == ["movies"] * 6
    ends = [timetable(found, node)[6:] for node in range(NODES)]
    assert ends == [[d] * 11 for d in ("tweets", "tweets", "nyt", "nyt", "amazon", "amazon")]
    assert found.concerned == tuple(range(NODES))


def test_a_gradual_shift_takes_six_rounds(streams, pool):
    found = streams["gradual"].windows
    shares = [each[4].shares.get("tweets", 0.0) for each in found]
    assert shares == pytest.approx([0] * 6 + [n / 6 for n in range(1, 7)] + [1] * 5)
    drawn = [sum(pool.domains[row] == "tweets" for row in each[4].rows) / 80 for each in found]
    assert drawn == pytest.approx(shares, abs=0.2)
    assert timetable(streams["gradual"], 4)[6:10] == ["movies"] * 3 + ["tweets"]


def test_labels_are_turned_round_where_the_concept_says_so(streams, pool):
    for name in ("conflict_full", "conflict_recurring", "sudden"):
        for each in streams[name].windows:
            for window in each:
                turned = window.concept.endswith("!")
                assert list(window.labels) == [
                    label ^ turned for label in labels_of(pool, window.rows)
                ]
    for each in streams["conflict_moderate"].windows:
        for window in each:
            turned = window.concept.endswith("!")
            for row, label in zip(window.rows, window.labels, strict=True):
                is_amazon = pool.domains[row] == "amazon"
                assert label == pool.labels[row] ^ (turned and is_amazon)
    test = streams["conflict_moderate"].tests["movies+amazon!"]
    amazon = [pool.domains[row] == "amazon" for row in test.rows]
    assert sum(amazon) == 160
    assert [a ^ b for a, b in zip(test.labels, labels_of(pool, test.rows), strict=True)] == amazon


def test_prior_shift_moves_the_class_counts_and_the_others_do_not(streams):
    def positives(name, nodes, rounds):
        found = [streams[name].windows[r][n].labels for r in rounds for n in nodes]
        return sum(map(sum, found)) / (80 * len(found))

    after = range(DRIFT, ROUNDS + 1)
    assert positives("prior_shift", MOVERS, after) == pytest.approx(7 / 8, abs=0.03)
    assert positives("prior_shift", range(4), after) == pytest.approx(0.5, abs=0.03)
    for name in STREAMS:
        if name != "prior_shift":
            assert positives(name, MOVERS, after) == pytest.approx(0.5, abs=0.05)


def test_another_base_is_another_federation(pool):
    found = stream("sudden", pool, 0, base="tweets")
    assert (timetable(found, 0)[6], timetable(found, 4)[6]) == ("tweets", "movies")
    assert [part.domain for part in data.parts_of("tweets+amazon!")] == ["tweets", "amazon"]


def test_halves_share_no_row_and_hold_each_class_equally(streams):
    for test in streams["conflict_moderate"].tests.values():
        one, other = test.halves()
        assert not set(one.rows) & set(other.rows)
        assert sorted(one.rows + other.rows) == sorted(test.rows)
        for half in (one, other):
            assert abs(sum(half.labels) * 2 - len(half.labels)) <= 2
