"""The random maps of a spec: from unit-length features to their projection and Fourier features.

Both depend on the spec's seed and the features' width alone. The random bits come from SHAKE-256,
not from torch's generator, so that nodes with different versions of torch still share one map.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from ._linalg import lengths
from ._special import normal_quantile
from ._summary_spec import SummarySpec


def project(spec: SummarySpec, rows: Tensor) -> Tensor:
    """Return the rows' random projection P x: (n, width) to (n, projected), float64.

    P = G / sqrt(projected) with standard normal G, so E|P x|^2 = |x|^2 (Johnson and Lindenstrauss,
    1984).
    """
    normals = normal_matrix(rows.shape[1], spec.projected, str(spec.seed), "projection")
    return rows @ normals / math.sqrt(spec.projected)


def fourier_features(spec: SummarySpec, bandwidth: float, rows: Tensor) -> Tensor:
    """Return the rows' random Fourier features: (n, width) to (n, fourier), float64, length 1.

    phi(x) = sqrt(2 / fourier) (cos(w_1 x), ..., sin(w_1 x), ...) with w_j normal of variance
    1 / bandwidth^2; E <phi(x), phi(y)> = exp(-|x - y|^2 / (2 bandwidth^2)) (Rahimi and Recht,
    NIPS 2007). cos^2 + sin^2 = 1 for each frequency, so every row has length exactly 1.
    """
    pairs = spec.fourier // 2
    phases = rows @ normal_matrix(rows.shape[1], pairs, str(spec.seed), "fourier") / bandwidth
    return torch.cat([phases.cos(), phases.sin()], dim=1) / math.sqrt(pairs)


def unit_rows(features: Tensor) -> Tensor:
    """Return features in float64 with every row scaled to length 1; a zero row stays zero."""
    rows = features.detach().to("cpu", torch.float64)
    sizes = lengths(rows, axis=1)
    return rows / torch.where(sizes > 0, sizes, 1.0)[:, None]


def energy_bound(spec: SummarySpec, width: int) -> float:
    """Return a bound of |P x|^2 for unit x, without making P.

    The largest singular value of a (projected, width) standard normal matrix passes
    sqrt(width) + sqrt(projected) + t with probability at most exp(-t^2 / 2) (Davidson and Szarek,
    2001, theorem II.13); t = 6 makes that 2e-8 for a spec's one matrix.
    """
    return ((math.sqrt(width) + 6.0) / math.sqrt(spec.projected) + 1.0) ** 2


def normal_matrix(rows: int, columns: int, *labels: str) -> Tensor:
    """Return a fixed (rows, columns) float64 matrix of standard normal numbers.

    Each number is the normal quantile of (k + 1/2) / 2^32 with 32 random bits k, so its tails end
    at 6.3.

    Example:
        >>> [round(x, 6) for x in normal_matrix(1, 3, "7", "fourier")[0].tolist()]
        [-1.47452, -0.84988, -0.467848]
    """
    label = "/".join(("summary", *labels, str(rows), str(columns)))
    stream = hashlib.shake_256(label.encode()).digest(4 * rows * columns)
    bits = torch.frombuffer(bytearray(stream), dtype=torch.int32).to(torch.float64)
    uniform = (bits + 2**31 + 0.5) / 2**32
    return normal_quantile(uniform).reshape(rows, columns)
