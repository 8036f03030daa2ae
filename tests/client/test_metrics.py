"""Metrics of an evaluation, against hand-made numbers."""

import math

import pytest
from polyrank.client import Evaluation
from polyrank.client._metrics import metrics_of


def test_balanced_accuracy_weighs_classes_not_rows():
    found = metrics_of(Evaluation([1.0, 2.0, 3.0, 4.0], [True, True, False, True], [0, 0, 0, 1]))
    assert found["loss"] == 2.5
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)


def test_perplexity_is_the_exponential_of_nats_per_token():
    found = metrics_of(Evaluation([3.0, 9.0], tokens=[2, 4]))
    assert found == {"loss": 2.0, "perplexity": pytest.approx(math.exp(2.0))}


def test_a_hopeless_perplexity_is_still_a_finite_number():
    assert metrics_of(Evaluation([1e9], tokens=[1]))["perplexity"] == 1e12


def test_without_classes_there_is_a_loss_alone():
    assert metrics_of(Evaluation([1.0, 3.0])) == {"loss": 2.0}
