"""The trunk: what leaves it is taken out without running the rest, and put in the same way."""

import pytest
import torch
import transformers
from polyrank.client._targets import modules_of
from polyrank.client._trunk import Trunk, lowest_layer

from .models import save_bert, save_llama

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 9, 10, 3]])


@pytest.fixture(params=[save_bert, save_llama], ids=["bert", "llama"])
def model(request, tmp_path):
    return transformers.AutoModel.from_pretrained(request.param(tmp_path)).eval()


def stack_of(model):
    return next(name for name in ("encoder.layer", "layers") if name in dict(modules_of(model)))


def counted(layers):
    """Count the calls of the first linear module of each layer."""
    calls = [0] * len(layers)

    def counting(index):
        def count(module, args, output):
            calls[index] += 1

        return count

    for index, layer in enumerate(layers):
        linear = next(m for m in layer.modules() if isinstance(m, torch.nn.Linear))
        linear.register_forward_hook(counting(index))
    return calls


def test_states_are_those_between_two_layers_and_each_half_runs_alone(model):
    stack = stack_of(model)
    layers = list(model.get_submodule(stack))

    def forward():
        return model(input_ids=IDS).last_hidden_state

    with torch.no_grad():
        expected = forward()
        between = model(input_ids=IDS, output_hidden_states=True).hidden_states[1]
        trunk = Trunk(model, stack, 1)
        calls = counted(layers)
        states = trunk.entering(forward)
        assert (calls, torch.equal(states, between)) == ([1, 0], True)
        torch.testing.assert_close(trunk.run(forward, states), expected)
        assert calls == [1, 1]
        assert torch.equal(forward(), expected)  # without states the hooks do nothing
        assert not torch.allclose(trunk.run(forward, states + 1.0 * IDS[..., None]), expected)


def test_a_forward_pass_that_fails_leaves_the_trunk_as_it_was(model):
    trunk = Trunk(model, stack_of(model), 1)

    def forward():
        return model(input_ids=IDS).last_hidden_state

    def failing():
        raise KeyError("batch")

    with torch.no_grad():
        expected = forward()
        for attempt in (lambda: trunk.entering(failing), lambda: trunk.run(failing, expected)):
            with pytest.raises(KeyError):
                attempt()
        assert torch.equal(forward(), expected)


@pytest.mark.parametrize(
    ("trained", "place"),
    [
        (["encoder.layer.1.attention.self.query"], ("encoder.layer", 1)),
        (["encoder.layer.0.attention.self.query", "encoder.layer.1.output.dense"], None),
        (["pooler.dense"], ("encoder.layer", 1)),
        (["embeddings.word_embeddings", "encoder.layer.1.output.dense"], None),
    ],
)
def test_the_trunk_ends_beneath_the_lowest_module_that_is_trained(tmp_path, trained, place):
    model = transformers.AutoModel.from_pretrained(save_bert(tmp_path))
    assert lowest_layer(model, trained) == place
    assert lowest_layer(torch.nn.Linear(2, 2), []) is None
