"""Small federations written straight into a ledger."""

from polyrank.store import Ledger, NewTask, TaskRecord, Version
from store_blobs import adapter_blob

NAME = "support/en"


def begin(ledger: Ledger, name: str = NAME) -> int:
    """Take an epoch and publish version 0 of an adapter; return the epoch."""
    epoch = ledger.take_epoch("test")
    ledger.register_base_model("base", fingerprint="f" * 64, epoch=epoch)
    ledger.create_adapter(name, base_model="base", epoch=epoch)
    ledger.publish(
        name,
        adapter_blob({"fc": (4, 0, 3)}, {"head": (2, 4)}),
        origin="initial",
        idempotency_key="initial",
        epoch=epoch,
    )
    return epoch


def task(number: int, identity: str, *, kind: str = "train", name: str = NAME) -> NewTask:
    return NewTask(
        key=f"{name}/{kind}/{number}/{identity}",
        kind=kind,
        adapter=name,
        round=number,
        identity=identity,
        start_digest="d" * 64,
        config_digest="c" * 64,
        rank=2,
    )


def open_round(
    ledger: Ledger, epoch: int, identities=("n1", "n2"), *, name: str = NAME
) -> list[TaskRecord]:
    """Plan and open the next round, with a train task for each node."""
    head = ledger.registry.adapter(name).head
    number = ledger.plan_round(name, plan={"min_nodes": 2}, start_number=head, epoch=epoch).number
    tasks = [
        ledger.put_task(task(number, identity, name=name), epoch=epoch) for identity in identities
    ]
    ledger.move_round(name, number, state="open", expect="planned", epoch=epoch)
    return tasks


def answer(ledger: Ledger, epoch: int, task: TaskRecord, fill: int = 1, **more):
    return ledger.accept(
        task.key, data=adapter_blob(fill=fill), num_examples=10 + fill, epoch=epoch, **more
    )


def close_round(ledger: Ledger, epoch: int, number: int, *, name: str = NAME) -> None:
    ledger.move_round(name, number, state="aggregating", expect="open", epoch=epoch)


def whole_round(
    ledger: Ledger, epoch: int, fill: int, identities=("n1", "n2"), *, name: str = NAME, **more
) -> Version:
    """Run a round in which every node answers, and commit it."""
    tasks = open_round(ledger, epoch, identities, name=name)
    for position, each in enumerate(tasks):
        answer(ledger, epoch, each, fill=fill + position)
    number = tasks[0].round
    close_round(ledger, epoch, number, name=name)
    return ledger.commit_round(
        name,
        number,
        data=adapter_blob(fill=100 + fill),
        counted=[each.key for each in tasks],
        epoch=epoch,
        **more,
    )
