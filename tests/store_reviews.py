"""Small reviews of a family, and a strategy for any review at all."""

from typing import Any

from hypothesis import strategies as st
from polyrank.store import (
    AdaptationPolicy,
    MemberEvidence,
    NodeEvidence,
    ProbeEvidence,
    RankEvidence,
    Review,
    SideEvidence,
    TrialEvidence,
)

POLICY = AdaptationPolicy()
ROOT = "demo"


def root(**values: Any) -> MemberEvidence:
    return MemberEvidence(
        **{"adapter": ROOT, "root": True, "version": 7, "users": 4, "age": 9, "size_bytes": 1000}
        | values
    )


def member(number: int, **values: Any) -> MemberEvidence:
    first = {"adapter": f"{ROOT}/{number}", "version": 3, "users": 2, "age": 5, "parent": ROOT}
    return MemberEvidence(**first | {"size_bytes": 1000} | values)


def probe(adapter: str, gain: float, error: float = 0.05, **values: Any) -> ProbeEvidence:
    first = {"adapter": adapter, "gain": gain, "standard_error": error, "version": 3, "rows": 80}
    return ProbeEvidence(**first | values)


def quiet(identity: str, **values: Any) -> NodeEvidence:
    """Return a node with nothing to report."""
    first = {"identity": identity, "adapter": ROOT, "rows": 80, "base_windows": 4, "loss": 0.5}
    known = {"base_loss": 0.5, "harm_z": 0.0, "novelty_z": 0.0, "prior_z": 0.0}
    classes = {"uninformed_loss": 0.69, "balanced_accuracy": 0.8, "chance": 0.5}
    return NodeEvidence(**first | known | classes | values)


def harmed(identity: str, **values: Any) -> NodeEvidence:
    """Return a node in harm for the first time, still better than knowing nothing."""
    return quiet(identity, **{"loss": 0.6, "harm_z": 4.0} | values)


def contradicted(identity: str, **values: Any) -> NodeEvidence:
    """Return a node in severe harm: its labels are turned round."""
    return quiet(identity, **{"loss": 1.2, "harm_z": 9.0, "balanced_accuracy": 0.2} | values)


def novel(identity: str, **values: Any) -> NodeEvidence:
    return quiet(identity, **{"novelty_z": 6.0} | values)


def side(adapter: str, change: float, identities: int = 1, error: float = 0.02) -> SideEvidence:
    return SideEvidence(
        adapter=adapter, rows=80, identities=identities, loss_change=change, standard_error=error
    )


def trial(keep: str, absorb: str, *sides: SideEvidence) -> TrialEvidence:
    return TrialEvidence(keep=keep, absorb=absorb, trial="demo/trials@4", sides=sides)


def review(*nodes: NodeEvidence, **values: Any) -> Review:
    """Return a review of the root alone, or of the given members."""
    first: dict[str, Any] = {"family": ROOT, "number": 10, "members": (root(),)}
    return Review(nodes=nodes, **first | values)


# Values around the thresholds, and far beyond them: sampling a list is much quicker than drawing.
COUNTS = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 12])
ROWS = st.sampled_from([1, 7, 8, 80])
LOSSES = (-1e9, -1.0, -0.05, -1 / 3, 0.0, 1e-9, 0.01, 0.02, 0.05, 0.1 + 0.2, 0.5, 0.69, 0.71, 1.0)
REALS = st.sampled_from([*LOSSES, 2.33, 2.34, 2.5, 3.0, 9.0, 40.0, 41.0, 1e9])
ERRORS = st.sampled_from([0.0, 1e-9, 0.01, 1 / 3, 1e9])
SHARES = st.sampled_from([0.0, 0.2, 1 / 3, 0.5, 0.7, 1.0])
MAYBE = st.none() | REALS
IDENTITIES = st.sampled_from(["ann", "bob", "cyd", "dan", "eve", "fay"])


@st.composite
def probes(draw: st.DrawFn, others: list[str]) -> tuple[ProbeEvidence, ...]:
    chosen = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
    return tuple(
        ProbeEvidence(
            adapter=name, version=draw(COUNTS), rows=draw(ROWS), gain=draw(REALS),
            standard_error=draw(ERRORS),
        )
        for name in chosen
    )  # fmt: skip


@st.composite
def plausible(draw: st.DrawFn, identity: str, adapter: str, others: list[str]) -> NodeEvidence:
    """Draw a node in confirmed harm, or with new data, that has scored every other member."""
    gains = st.sampled_from([-0.5, -0.1, 0.0, 0.04, 0.6])
    kind = draw(st.sampled_from([contradicted, harmed, novel]))
    return kind(
        identity,
        adapter=adapter,
        base_windows=5,
        recent_harm=(True, True),
        probes=tuple(probe(name, draw(gains)) for name in others),
    )


@st.composite
def nodes(draw: st.DrawFn, identity: str, names: list[str]) -> NodeEvidence:
    adapter = draw(st.sampled_from(names[:2]))
    if draw(st.booleans()):
        return draw(plausible(identity, adapter, [name for name in names if name != adapter]))
    return NodeEvidence(
        identity=identity, adapter=adapter, rows=draw(ROWS),
        base_windows=draw(COUNTS), loss=draw(REALS), base_loss=draw(MAYBE), harm_z=draw(MAYBE),
        novelty_z=draw(MAYBE), prior_z=draw(MAYBE), uninformed_loss=draw(MAYBE),
        balanced_accuracy=draw(st.none() | SHARES), chance=draw(st.none() | SHARES),
        recent_harm=tuple(draw(st.lists(st.booleans(), max_size=5))),
        since_move=draw(st.none() | COUNTS),
        probes=draw(probes([name for name in names if name != adapter])),
    )  # fmt: skip


@st.composite
def members(draw: st.DrawFn, count: int) -> tuple[MemberEvidence, ...]:
    names = [ROOT, *(f"{ROOT}/{i}" for i in range(2, count + 1))]
    return tuple(
        MemberEvidence(
            adapter=name, root=name == ROOT, version=draw(COUNTS), users=draw(COUNTS),
            state="active" if name == ROOT else draw(st.sampled_from(["active", "archived"])),
            size_bytes=draw(COUNTS), idle=draw(COUNTS), age=draw(COUNTS),
            parent=None if name == ROOT else draw(st.sampled_from(names)),
            provisional=draw(st.booleans()), pinned=draw(st.none() | COUNTS),
            trials=draw(st.dictionaries(st.sampled_from(names), COUNTS, max_size=2)),
        )
        for name in names
    )  # fmt: skip


@st.composite
def trials(draw: st.DrawFn, names: list[str]) -> tuple[TrialEvidence, ...]:
    pairs = [(x, y) for i, x in enumerate(names) for y in names[i + 1 :]]
    found: list[TrialEvidence] = []
    for keep, absorb in draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []:
        judged = draw(st.lists(st.sampled_from([keep, absorb]), unique=True))
        sides = [side(n, draw(REALS), draw(st.integers(1, 3)), draw(ERRORS)) for n in judged]
        found.append(trial(keep, absorb, *sides))
    return tuple(found)


@st.composite
def ranks(draw: st.DrawFn, adapter: str) -> RankEvidence:
    return RankEvidence(
        adapter=adapter, rank=draw(st.integers(1, 64)), saturated_share=draw(SHARES),
        flat_rounds=draw(COUNTS), gain=draw(st.none() | REALS),
        standard_error=draw(st.none() | ERRORS), identities=draw(COUNTS),
        elbow=draw(st.none() | COUNTS), energy_rank=draw(COUNTS),
        shrink_error=draw(st.none() | ERRORS),
    )  # fmt: skip


@st.composite
def reviews(draw: st.DrawFn, *, most_nodes: int = 6, most_members: int = 4) -> Review:
    """Draw any review at all, plausible or not."""
    family = draw(members(draw(st.integers(1, most_members))))
    names = [line.adapter for line in family]
    identities = draw(st.lists(IDENTITIES, unique=True, max_size=most_nodes))
    return Review(
        family=ROOT,
        number=draw(st.integers(1, 30)),
        members=family,
        nodes=tuple(draw(nodes(identity, names)) for identity in identities),
        quiet=draw(st.dictionaries(st.sampled_from(names), COUNTS)),
        trials=draw(trials(names)),
        ranks=tuple(draw(ranks(name)) for name in names if draw(st.booleans())),
    )


POLICIES = st.builds(
    AdaptationPolicy,
    min_rows=st.integers(1, 20), refractory=st.integers(0, 4), max_probes=st.integers(1, 4),
    confirm=st.integers(1, 2), min_identities=st.integers(2, 3), base_windows=st.integers(1, 5),
    max_adapters=st.integers(1, 6), max_total_bytes=st.sampled_from([None, None, 10, 60]),
    max_rank=st.none() | st.integers(1, 64), merge_confidence=st.sampled_from([0.0, 2.0]),
    expansion_level=st.sampled_from([0.001, 0.5]), pin_level=st.sampled_from([0.05, 0.5]),
)  # fmt: skip
