"""One training as the SDK would ask for it."""

from polyrank.aggregation import empty, initial_dense, warm_start
from polyrank.client import TrainTask

LEARN = {"steps": 60, "batch_size": 8, "learning_rate": 0.02}


def first_state(trainer, seed=0):
    described = trainer.description
    return empty(described.modules, initial_dense(described.dense, seed))


def task_of(start, rank, config=None, **changes):
    given = {"adapter_name": "demo", "round": 1, "seed": 3, **changes}
    return TrainTask(start=start, rank=rank, config=LEARN if config is None else config, **given)


def learned(trainer, config=None, rank=4, seed=3):
    start = warm_start(first_state(trainer), rank, seed=seed)
    return trainer.train(task_of(start, rank, config, seed=seed))
