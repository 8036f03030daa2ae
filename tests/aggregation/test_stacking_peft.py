"""PEFT's `cat` merge of plain LoRA is exact stacking: the second oracle."""

import pytest
import torch
from polyrank.aggregation import Adapter, Factors, stack
from torch import nn

peft = pytest.importorskip("peft")

SHAPES = {"wide": (6, 20), "tall": (20, 6), "square": (12, 12)}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name, (rows, columns) in SHAPES.items():
            self.add_module(name, nn.Linear(columns, rows, bias=False))


def federation(ranks: list[int], alphas: list[int]):
    """One PEFT model with an adapter per node, filled with random factors."""
    torch.manual_seed(0)
    names = [f"node{i}" for i in range(len(ranks))]
    model = None
    for name, rank, alpha in zip(names, ranks, alphas, strict=True):
        config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(SHAPES))
        if model is None:
            model = peft.get_peft_model(Net(), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    for key, value in model.named_parameters():
        if "lora_" in key:
            nn.init.normal_(value)
    return model, names


def layers(model: nn.Module):
    return {name: getattr(model.base_model.model, name) for name in SHAPES}


def adapter_of(model: nn.Module, name: str) -> Adapter:
    """Fold the scaling into b, as the client's edge does."""
    return Adapter(
        {
            module: Factors(
                layer.lora_B[name].weight.data * layer.scaling[name], layer.lora_A[name].weight.data
            )
            for module, layer in layers(model).items()
        }
    )


@pytest.mark.parametrize("ranks", [[4, 4, 4], [8, 2, 1], [16, 3, 30]])
def test_a_stack_equals_pefts_cat_merge_mixed_ranks_included(ranks: list[int]):
    model, names = federation(ranks, alphas=[16, 8, 4])
    weights = [0.5, 0.3, 0.2]
    ours = stack([(adapter_of(model, n), w) for n, w in zip(names, weights, strict=True)])
    model.add_weighted_adapter(names, weights, "merged", combination_type="cat")
    for module, layer in layers(model).items():
        theirs = layer.get_delta_weight("merged").detach()
        assert ours.factors[module].rank == sum(ranks)
        torch.testing.assert_close(ours.factors[module].delta(), theirs, rtol=2e-5, atol=2e-6)
