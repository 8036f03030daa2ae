"""Initial heads: the same on every node, independent of order and of each other."""

import pytest
import torch
from polyrank.aggregation import AdapterError, BadNameError, ShapeError, initial_dense

SHAPES = {"head.weight": (40, 50), "head.bias": (40,), "proj.weight": (40, 50)}


def test_matrices_are_small_and_random_and_vectors_are_zero():
    values = initial_dense(SHAPES, seed=3)
    assert torch.equal(values["head.bias"], torch.zeros(40))
    assert values["head.weight"].dtype == torch.float32
    assert values["head.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert abs(values["head.weight"].mean().item()) < 2e-3


def test_each_tensor_depends_on_the_seed_and_its_name_only():
    values = initial_dense(SHAPES, seed=3)
    backwards = initial_dense(dict(reversed(SHAPES.items())), seed=3)
    alone = initial_dense({"proj.weight": (40, 50)}, seed=3)
    other = initial_dense(SHAPES, seed=4)
    assert list(values) == sorted(SHAPES)
    for name in SHAPES:
        assert torch.equal(values[name], backwards[name])
    assert torch.equal(values["proj.weight"], alone["proj.weight"])
    assert not torch.equal(values["proj.weight"], values["head.weight"])
    assert not torch.equal(values["proj.weight"], other["proj.weight"])


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    initial_dense(SHAPES, seed=3)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("shape", [(), (0, 2), (2.5,), None, "ab", (True,)])
def test_shapes_that_are_none_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ShapeError):
        initial_dense({"w": shape}, seed=0)


def test_bad_names_and_seeds_are_refused():
    with pytest.raises(BadNameError):
        initial_dense({"a/b": (2,)}, seed=0)
    with pytest.raises(AdapterError):
        initial_dense({"w": (2, 2)}, seed="0")  # type: ignore[arg-type]
