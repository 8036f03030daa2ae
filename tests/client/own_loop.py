"""A node with its own model and plain torch loop: no PEFT, no transformers."""

import sys

import torch
from polyrank.aggregation import Adapter, Factors
from polyrank.client import (
    AdaptationClient,
    ClientConfig,
    Evaluation,
    ModelDescription,
    TrainResult,
)
from torch.nn.functional import cross_entropy


class OwnTrainer:
    def __init__(self, weight, x, y):
        self.weight, self.x, self.y, self.num_rows = weight, x, y, len(x)
        shapes = {"modules": {"hidden": (16, 8)}, "dense": {"head": (2, 16)}}
        self.description = ModelDescription(fingerprint="my-model-1", **shapes)

    def logits(self, rows, pairs, head):  # pairs of low-rank factors over the frozen weight
        x = self.x[rows]
        hidden = x @ self.weight.T + sum(x @ a.T @ b.T for b, a in pairs)
        return hidden.relu() @ head.T

    def train(self, task):
        start, beneath = task.start.trainable, task.start.frozen.factors["hidden"]
        tensors = (start.factors["hidden"].b, start.factors["hidden"].a, start.dense["head"])
        b, a, head = (tensor.clone().requires_grad_() for tensor in tensors)
        adam = torch.optim.Adam([b, a, head], lr=task.config["learning_rate"])
        for step in range(task.config["steps"]):
            rows = torch.randint(0, self.num_rows, (32,))
            logits = self.logits(rows, [(b, a), (beneath.b, beneath.a)], head)
            loss = cross_entropy(logits, self.y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            task.progress(step + 1, task.config["steps"], loss.item())
        return TrainResult(Adapter({"hidden": Factors(b, a)}, {"head": head}), self.num_rows)

    def evaluate(self, adapter, rows=None):
        rows = torch.arange(self.num_rows) if rows is None else torch.as_tensor(rows)
        whole, y = adapter.factors["hidden"], self.y[rows]
        logits = self.logits(rows, [(whole.b, whole.a)], adapter.dense["head"])
        losses, right = cross_entropy(logits, y, reduction="none"), logits.argmax(1) == y
        return Evaluation(losses.tolist(), right.tolist(), y.tolist())


if __name__ == "__main__":
    torch.manual_seed(1)  # the same frozen weight on every node; your own data
    weight, x = torch.randn(16, 8), torch.randn(200, 8)
    trainer = OwnTrainer(weight, x, (x[:, 0] * x[:, 1] > 0).long())
    server, state_dir = sys.argv[1:3]
    config = ClientConfig(server=server, state_dir=state_dir, name="own-loop", max_rank=4)
    AdaptationClient(config, trainer).run()
