"""Evidence about versions of one line, compared row by row on the same fresh rows.

A change is mean loss under the one version less mean loss under the other, in nats per row: a rise
is positive. Each node counts alike, however many rows it claims.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._decide_fields import Checked, Count, Identity, Name, Nats, Number, Positive
from ._decide_order import in_order
from ._errors import InvalidValue

MAX_DOMAINS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvidence(Checked):
    """What one domain says.

    Attributes:
        name: the nodes' tag `domain`; a node without one is a domain by itself, by its identity.
        rows: that its nodes scored under both versions.
        identities: distinct nodes that did.
        loss_change: mean over its nodes.
        standard_error: of the change.
    """

    name: Identity
    rows: Positive
    identities: Positive
    loss_change: Number
    standard_error: Nats


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Checked):
    """What the domains of one member say of two of its versions.

    At most 32 domains are listed, those that lose most surely, so that evidence stays small with
    thousands of nodes; the sums are over all.

    Attributes:
        adapter: the member.
        identities: distinct nodes that compared.
        loss_change: mean over them; None: nobody did.
        standard_error: of that change.
        compared: domains in all.
        domains: the listed ones.
        expected: domains of the nodes that were asked, whoever answered, by the tasks on record;
            0: not known, of evidence from before it was written.
    """

    adapter: Name
    identities: Count = 0
    loss_change: Number | None = None
    standard_error: Nats | None = None
    compared: Count = 0
    domains: tuple[DomainEvidence, ...] = ()
    expected: Count = 0

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        in_order(self, "domains", lambda domain: (domain.name,))
        if len(self.domains) > min(MAX_DOMAINS, self.compared):
            raise InvalidValue("domains", f"{len(self.domains)} of {self.compared} that compared")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence(Comparison):
    """A candidate against the stable version: what is lost by serving it.

    Attributes:
        candidate: the member's newest version.
        stable: the version that its nodes serve; None: there is none.
        held: reviews in a row in which a candidate was held.
    """

    candidate: Count
    stable: Count | None = None
    held: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallEvidence(Comparison):
    """An earlier stable version against what would be stable after this review.

    Attributes:
        version: the earlier one.
        against: what it was compared with.
        everyone: whether every node with a window was asked, not only those in harm.
    """

    version: Count
    against: Count
    everyone: bool = False
