"""Proportions of a mixture whose parts are known: from rows by EM, from a mean by least squares."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._linalg import eigh

_MAX_STEPS = 300
_SETTLED = 1e-6


def likeliest_mixture(likelihoods: Tensor) -> tuple[Tensor, Tensor]:
    """Return the proportions under which the rows are likeliest, and each row's part given them.

    EM: r_ic = p_c exp(l_ic) / sum_d p_d exp(l_id), then p_c = mean_i r_ic, from equal proportions
    (Dempster, Laird and Rubin, J. R. Stat. Soc. B 39, 1977). The likelihood of the proportions is
    concave, so where it starts does not matter.

    Args:
        likelihoods: float64 (rows, parts), logarithms, up to a constant for each row.

    Example:
        >>> rows = torch.tensor([[0.0, -9.0], [0.0, -9.0], [-9.0, 0.0], [0.0, -9.0]])
        >>> shares, parts = likeliest_mixture(rows)
        >>> [round(float(x), 2) for x in shares], [int(x) for x in parts]
        ([0.75, 0.25], [0, 0, 1, 0])
    """
    parts = likelihoods.shape[1]
    shares = torch.full((parts,), 1.0 / parts, dtype=likelihoods.dtype)
    for _ in range(_MAX_STEPS):
        found = torch.softmax(likelihoods + shares.clamp_min(1e-300).log(), dim=1)
        after = found.mean(dim=0)
        moved = float((after - shares).abs().max())
        shares = after
        if moved < _SETTLED:
            break
    # A row alone cannot say how much of a batch is like it: its own odds are all there is.
    if likelihoods.shape[0] == 1:
        shares = torch.softmax(likelihoods[0], dim=0)
    return shares, (likelihoods + shares.clamp_min(1e-300).log()).argmax(dim=1)


def closest_mixture(mean: Tensor, centres: Tensor) -> Tensor:
    """Return the proportions w >= 0, sum w = 1, with the least |mean - sum_c w_c centre_c|^2.

    Projected gradient with momentum (Beck and Teboulle, SIAM J. Imaging Sci. 2, 2009).

    Args:
        mean: float64 (d,).
        centres: float64 (parts, d), at least one.

    Example:
        >>> mixed = closest_mixture(torch.tensor([0.25, 0.75]), torch.eye(2))
        >>> [round(float(x), 2) for x in mixed]
        [0.25, 0.75]
    """
    gram, target = centres @ centres.T, centres @ mean
    parts = centres.shape[0]
    shares = torch.full((parts,), 1.0 / parts, dtype=centres.dtype)
    step = 1.0 / max(float(eigh(gram)[0][-1]), 1e-30)
    ahead, pace = shares.clone(), 1.0
    for _ in range(_MAX_STEPS):
        after = _onto_simplex(ahead - step * (gram @ ahead - target))
        later = (1 + math.sqrt(1 + 4 * pace * pace)) / 2
        ahead = after + (pace - 1) / later * (after - shares)
        shares, pace = after, later
    return shares


def _onto_simplex(x: Tensor) -> Tensor:
    """Return the closest point with entries >= 0 that sum to 1 (Duchi et al., ICML 2008)."""
    ordered, _ = x.sort(descending=True)
    excess = ordered.cumsum(dim=0) - 1
    places = torch.arange(1, x.numel() + 1, dtype=x.dtype)
    last = int((ordered - excess / places > 0).sum())
    return (x - excess[last - 1] / last).clamp_min(0)
