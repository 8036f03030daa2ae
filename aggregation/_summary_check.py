"""What the sums over a number of rows can be, and what they cannot.

A node may lie about its rows, but each sum stays within what that many rows could give: one node's
influence is bounded by its count. Slack is for float32 rounding only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._linalg import is_positive_definite
from ._summary_fields import refuse
from ._summary_spread import MAX_CUBE, MAX_SQUARE, Spread

MAX_COUNT = 10**9
MAX_WIDTH = 2**20

_EXACT = 1e-9
_ROUNDED = 1e-4
"""float32 keeps 6e-8 of a number; sums of sums, differences and 256 terms take some of it away."""


def check_losses(count: int, total: float, squares: float, max_loss: float) -> None:
    """Check |sum| <= n max_loss and sum^2 / n <= sum of squares <= n max_loss^2.

    Raises:
        SummaryError: otherwise.
    """
    most = check_total("loss_sum", count, total, max_loss)
    least = total * total / count * (1 - _EXACT)
    if squares < least:
        raise refuse("loss_square_sum", "a negative variance", expected=least, got=squares)
    if squares > most * max_loss:
        raise refuse("loss_square_sum", "beyond count * max_loss^2", got=squares)


def check_total(field: str, count: int, total: float, max_loss: float) -> float:
    """Check |sum| <= n max_loss, and return that bound with its slack.

    Raises:
        SummaryError: otherwise.
    """
    most = count * max_loss * (1 + _EXACT)
    if abs(total) > most:
        raise refuse(field, "beyond count * max_loss", expected=most, got=total)
    return most


def check_classes(
    classes: int, count: int, class_counts: tuple[int, ...], correct_counts: tuple[int, ...]
) -> None:
    """Check that there is one count per class, that they sum to n, and that no class is over-right.

    Raises:
        SummaryError: otherwise.
    """
    if len(class_counts) != classes:
        raise refuse("class_counts", "wrong length", expected=classes, got=len(class_counts))
    if len(correct_counts) not in (0, classes):
        raise refuse("correct_counts", "wrong length", expected=classes, got=len(correct_counts))
    if classes and sum(class_counts) != count:
        raise refuse("class_counts", "wrong sum", expected=count, got=sum(class_counts))
    for index, correct in enumerate(correct_counts):
        if correct > class_counts[index]:
            message = f"more right than there are of class {index}"
            raise refuse("correct_counts", message, expected=class_counts[index], got=correct)


def check_products(count: int, total: Tensor, products: Tensor, bound: float) -> None:
    """Check that products / n - mean mean^T is a covariance, and trace(products) <= n * bound.

    Raises:
        SummaryError: otherwise.
    """
    trace = float(products.to(torch.float64).trace())
    if trace > count * bound:
        raise refuse(
            "projected_products", "beyond count unit rows", expected=count * bound, got=trace
        )
    mean = total.to(torch.float64) / count
    covariance = products.to(torch.float64) / count - torch.outer(mean, mean)
    slack = _ROUNDED * trace / count + 1e-30
    if trace < 0 or not is_positive_definite(covariance + slack * torch.eye(mean.numel())):
        raise refuse("projected_products", "a negative variance")


def check_fourier(count: int, total: Tensor) -> None:
    """Check that each frequency's (cos, sin) is at most n / sqrt(pairs) long; then |sum| <= n.

    Raises:
        SummaryError: otherwise.
    """
    cosines, sines = total.to(torch.float64).reshape(2, -1)
    square = float((cosines**2 + sines**2).max()) * cosines.numel()
    if square > float(count) ** 2 * (1 + _ROUNDED):
        raise refuse("fourier_sum", "longer than count unit rows", expected=count, got=square**0.5)


def check_spread(count: int, sums: Spread, *, is_expected: bool) -> None:
    """Check that the estimates' means are within what unit rows can give.

    Raises:
        SummaryError: otherwise.
    """
    if sums.count > (count if is_expected else 0):
        raise refuse("spread_count", "more than count", expected=count, got=sums.count)
    if not 0 <= sums.square_sum <= MAX_SQUARE * sums.count:
        raise refuse("spread_sum", "beyond spread_count unit rows", got=sums.square_sum)
    if abs(sums.cube_sum) > MAX_CUBE * sums.count:
        raise refuse("spread_cube_sum", "beyond spread_count unit rows", got=sums.cube_sum)
