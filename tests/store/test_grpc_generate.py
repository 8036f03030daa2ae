"""The committed protobuf code is what registry.proto says."""

from pathlib import Path

import polyrank.store
from polyrank.store import _registry_pb2 as pb
from polyrank.store._generate import generate


def test_the_committed_code_is_what_protoc_makes_of_the_file(tmp_path):
    store = Path(polyrank.store.__file__).parent
    for made in generate(tmp_path):
        assert made.read_text() == (store / made.name).read_text(), "run `make proto`"


def test_its_names_in_protobufs_pool_are_our_own():
    assert pb.DESCRIPTOR.package == "polyrank.registry.v1"
    assert pb.DESCRIPTOR.name.startswith("polyrank/")
