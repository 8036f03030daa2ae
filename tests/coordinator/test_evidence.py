"""What a review knows of members, from the records."""

from __future__ import annotations

from polyrank.coordinator._evidence import _pinned_bytes
from polyrank.store import open_ledger
from small_blobs import blob


def test_the_bytes_of_pins_are_counted_once_each_and_the_newest_version_is_not_a_pin() -> None:
    with open_ledger("memory://") as ledger:
        registry = ledger.registry
        epoch = ledger.take_epoch("test")
        registry.register_base_model("toy", fingerprint="f" * 64)
        registry.create_adapter("line", base_model="toy")
        made = [registry.publish("line", blob(rank=rank)) for rank in (2, 3, 2, 4, 5)]
        for alias, number in {"pin-1": 0, "pin-2": 2, "pin-3": 1, "pin-9": 4, "best": 3}.items():
            ledger.set_alias("line", alias, number, epoch=epoch)
        assert made[0].digest == made[2].digest
        assert _pinned_bytes(registry, made[-1]) == made[0].size_bytes + made[1].size_bytes
