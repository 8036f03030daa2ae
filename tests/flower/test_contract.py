"""The parts of flwr that the edges stand on are as they were in the release that is pinned.

flwr promises nothing about most of them: when one of these tests fails after an upgrade, read the
edge that uses the name before changing the test.
"""

import ast
import importlib
import importlib.metadata
import inspect
import subprocess
import sys

import flwr
import pytest
from flwr.app import Array
from flwr.proto import message_pb2, runtime_pb2
from flwr.supercore import constant
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supernode import start_client_internal as loop
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState
from polyrank.client import _flower_launch, _wire_http, _wire_objects

NAMES = {
    "flwr.app.message": ["make_message", "remove_content_from_message"],
    "flwr.app.metadata": ["Metadata"],
    "flwr.common.constant": ["ErrorCode", "SUPERLINK_NODE_ID", "SubStatus"],
    "flwr.common.serde": ["message_from_proto", "message_to_proto"],
    "flwr.proto.control_pb2": ["StartRunRequest"],
    "flwr.proto.fab_pb2": ["Fab"],
    "flwr.supercore.constant": ["TASK_TOKEN_HEADER", "TaskType"],
    "flwr.supercore.control.control_http_client": ["ControlHttpClient"],
    "flwr.supercore.inflatable.inflatable_object": ["get_object_body", "no_object_id_recompute"],
    "flwr.supercore.inflatable.inflatable_utils": ["inflate_object_from_contents"],
    "flwr.supercore.runtime": ["RuntimeHttpClient"],
    "flwr.supercore.runtime_version_compatibility": ["RuntimeVersionMetadata"],
    "flwr.supernode.cli.flower_supernode": ["flower_supernode"],
    "flwr.superlink.cli.flower_superlink": ["flower_superlink"],
}

FIELDS = {
    runtime_pb2.AcquireTaskRequest: ["supported_task_types"],
    runtime_pb2.AcquireTaskResponse: ["task", "token"],
    runtime_pb2.PullTaskInputResponse: ["context", "fab", "run"],
    runtime_pb2.PullAppMessagesRequest: ["message_ids"],
    runtime_pb2.PullAppMessagesResponse: ["messages_list", "message_object_trees"],
    runtime_pb2.PushAppMessagesRequest: ["messages_list", "message_object_trees"],
    runtime_pb2.PushAppMessagesResponse: ["message_ids", "objects_to_push", "session_id"],
    runtime_pb2.PushTaskOutputRequest: ["details", "sub_status"],
    runtime_pb2.SendTaskHeartbeatResponse: ["success"],
    runtime_pb2.GetNodesResponse: ["nodes"],
    message_pb2.PullObjectResponse: ["object_available", "object_content", "object_found"],
    message_pb2.PushObjectRequest: ["node", "object_content", "object_id", "run_id", "session_id"],
    message_pb2.PushObjectResponse: ["stored"],
    message_pb2.ConfirmMessageReceivedRequest: ["message_object_id", "node", "run_id"],
    message_pb2.ObjectTree: ["children", "object_id"],
}


def test_the_release_is_the_pinned_one() -> None:
    assert flwr.__version__ == "1.41.0"
    wanted = importlib.metadata.requires("polyrank") or []
    assert any(line.replace(" ", "").startswith("flwr==1.41.0") for line in wanted)


@pytest.mark.parametrize("module", NAMES)
def test_the_names_exist(module: str) -> None:
    found = vars(importlib.import_module(module))
    assert [name for name in NAMES[module] if name not in found] == []


@pytest.mark.parametrize("message", FIELDS, ids=lambda message: message.__name__)
def test_the_messages_have_the_fields(message: type) -> None:
    assert set(FIELDS[message]) <= set(message.DESCRIPTOR.fields_by_name)  # type: ignore[attr-defined]


def test_the_runtime_api_has_the_methods() -> None:
    client = importlib.import_module("flwr.supercore.runtime").RuntimeHttpClient
    for method in (
        *("AcquireTask", "ConfirmMessageReceived", "GetNodes", "PullMessages", "PullObject"),
        *("PullTaskInput", "PushMessages", "PushObject", "PushTaskOutput", "SendTaskHeartbeat"),
    ):
        assert list(inspect.signature(getattr(client, method)).parameters) == ["self", "request"]


def test_the_client_keeps_its_connection_where_the_edge_replaces_it() -> None:
    client = ProtobufClient("http://127.0.0.1:9", interceptors=[], timeout=1.0)
    assert type(client._client).__name__ == "Client"
    client.close()
    assert {"interceptors", "timeout"} <= set(inspect.signature(ProtobufClient).parameters)


def test_a_heartbeat_sender_takes_a_function_and_can_be_stopped() -> None:
    assert list(inspect.signature(HeartbeatSender).parameters) == ["heartbeat_fn"]
    beats: list[int] = []
    sender = HeartbeatSender(lambda: not beats.append(1))  # type: ignore[func-returns-value]
    sender.start()
    sender.stop()
    assert not sender.is_running


def test_an_empty_chunk_is_written_as_the_edge_writes_it() -> None:
    array = Array("uint8", (3,), "polyrank.bytes", b"abc")
    ((_, chunk),) = array.slice_array()
    chunk.data = memoryview(b"")  # type: ignore[attr-defined]
    assert chunk.deflate() == _wire_objects.NO_CHUNK


def test_chunks_are_smaller_than_the_largest_answer() -> None:
    size = importlib.import_module("flwr.common.constant").FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE
    assert size * 2 < _wire_http.MAX_ANSWER_BYTES


def test_the_retry_of_pulls_is_a_constant_bound_at_import() -> None:
    assert (constant.PULL_INITIAL_BACKOFF, constant.PULL_BACKOFF_CAP) == (1, 10)
    parameters = inspect.signature(inflatable_utils.pull_objects).parameters
    assert parameters["initial_backoff"].default == constant.PULL_INITIAL_BACKOFF
    assert parameters["backoff_cap"].default == constant.PULL_BACKOFF_CAP


def test_a_supernode_waits_at_most_some_seconds_for_its_superlink() -> None:
    common = importlib.import_module("flwr.common.constant")
    assert common.MAX_RETRY_DELAY == 20
    source = inspect.getsource(importlib.import_module("flwr.supercore.retry.http_retry"))
    assert "exponential(max_delay=MAX_RETRY_DELAY)" in source


def test_the_loop_of_the_supernode_calls_what_the_launcher_replaces() -> None:
    assert set(inspect.signature(loop._pull_and_store_message).parameters) >= {"state", "receive"}
    assert set(inspect.signature(loop._push_messages).parameters) == {
        *("state", "object_store", "send", "push_object")
    }
    source = inspect.getsource(loop.start_client_internal)
    for call in ("_pull_and_store_message", "_push_messages"):
        (found,) = _calls(ast.parse(source), call)
        assert found.args == []  # by keyword, as `Loop.pull` and `Loop.push` take them
    assert "if run_id is None:" in source


def test_the_loop_uses_the_time_module_for_three_sleeps_alone() -> None:
    tree = ast.parse(inspect.getsource(loop))
    uses = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    ]
    assert uses == ["sleep", "sleep", "sleep"]
    slept = sorted(ast.literal_eval(found.args[0]) for found in _calls(tree, "sleep"))
    assert slept == [0.5, 0.5, 3]


def test_the_state_of_the_supernode_has_what_the_launcher_reads() -> None:
    source = inspect.getsource(InMemoryNodeState)
    for name in ("self.lock_msg_store = RLock()", "self.msg_store: dict[str, MessageEntry]"):
        assert name in source
    assert "is_retrieved" in source


QUICK = """
import inspect
from polyrank.client import _flower_launch as launch
launch.quick_http()
launch.quick_supernode()
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
assert AutoHTTPProtocol is HttpToolsProtocol
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.retry import http_retry
from flwr.supernode import start_client_internal as loop
pull = inspect.signature(pull_objects).parameters
assert pull["initial_backoff"].default == launch.PULL_RETRY_SECONDS
assert pull["backoff_cap"].default == 1.0
assert http_retry.MAX_RETRY_DELAY == launch.MAX_RECONNECT_SECONDS
assert isinstance(loop.time, launch.Loop)
assert loop._push_messages == loop.time.push
assert loop._pull_and_store_message == loop.time.pull
"""


def test_the_launcher_changes_what_the_supernode_really_uses() -> None:
    subprocess.run([sys.executable, "-c", QUICK], check=True, timeout=60)


def test_the_launcher_imports_flwr_only_after_it_watches() -> None:
    """The constants must be set before their users are imported, and a parent may die early."""
    tree = ast.parse(inspect.getsource(_flower_launch))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in top if "flwr" in ast.unparse(node)]


def _calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == name
        and (name != "sleep" or ast.unparse(node.func) == "time.sleep")
    ]


def test_the_ray_backend_has_the_parts_that_the_simulators_edge_uses() -> None:
    pytest.importorskip("ray", reason="needs polyrank[ray]")
    backend = importlib.import_module("flwr.server.superlink.fleet.vce.backend.raybackend")
    actors = importlib.import_module("flwr.simulation.ray_transport.ray_actor")
    constants = importlib.import_module("flwr.common.constant")
    made = backend.RayBackend
    assert list(inspect.signature(made).parameters) == ["backend_config"]
    assert set(inspect.signature(made.process_message).parameters) == {
        *("self", "message", "context")
    }
    source = inspect.getsource(made)
    for name in ("self.pool", "self.app_fn", "self.client_resources", "self.actor_kwargs"):
        assert name in source
    assert "if not ray.is_initialized():" in source
    assert "node_config[PARTITION_ID_KEY]" in source
    assert constants.PARTITION_ID_KEY == "partition-id"
    pool = actors.BasicActorPool
    assert list(inspect.signature(pool).parameters) == [
        *("actor_type", "client_resources", "actor_kwargs")
    ]
    assert list(inspect.signature(pool.add_actors_to_pool).parameters) == ["self", "num_actors"]
    assert list(inspect.signature(actors.pool_size_from_resources).parameters) == [
        "client_resources"
    ]
    assert hasattr(actors, "ClientAppActor")


def test_ray_can_be_kept_on_the_loopback_interface() -> None:
    pytest.importorskip("ray", reason="needs polyrank[ray]")
    constants = importlib.import_module("ray._private.ray_constants")
    services = importlib.import_module("ray._private.services")
    assert constants.ENABLE_RAY_CLUSTERS_ENV_VAR == "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    assert "if not ray_constants.ENABLE_RAY_CLUSTER:" in inspect.getsource(
        services.get_node_ip_address
    )
