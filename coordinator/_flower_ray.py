"""The edge to Flower's simulation engine: its Ray backend, its actors and their pools.

Flower's backend gives a message to whichever actor is idle, and lets the node's state travel with
it. A node of ours has a model and a cache, so it stays with one actor: a `Slot` is a backend of
Flower's with a pool of one actor, and what is submitted to it is worked on in order.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

from flwr.app import Context, Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from flwr.common.constant import PARTITION_ID_KEY

from ..client._wire import (
    BLOB_ARRAY,
    BLOB_RECORD,
    MESSAGE_TYPE,
    Failure,
    Incoming,
    Parcel,
    WireLimits,
    pack,
    unpack,
)
from ._errors import ConfigError

if TYPE_CHECKING:
    from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend

Handle = Callable[[str, Incoming], Incoming | Failure]

_IDENTITY: Final = "identity"
_LIMITS: Final = WireLimits(max_blob_bytes=1 << 62)  # what comes is this program's own
_TTL_SECONDS: Final = 1e9  # nothing comes too late
_TOKEN: Final = secrets.token_hex(32)  # Ray reads it once in a process
_LONGEST_FOLDER: Final = 20  # a socket's path has some 100 characters, Ray's part of it 70


def check_installed() -> None:
    """Raise ConfigError unless Ray is there."""
    if find_spec("ray") is None:
        raise ConfigError(
            "the engine 'ray' needs the package ray: install polyrank[ray], or use the engine "
            "'in-process'"
        )


@contextlib.contextmanager
def ray_running(threads: int) -> Generator[None]:
    """Have Ray there, and leave what was there before.

    A Ray that this program has initialised is used as it is. Otherwise the cluster is used that
    RAY_ADDRESS names. Otherwise Ray is started: on the loopback interface alone, with a token that
    no other process knows, without dashboard and usage statistics; at the end all of its processes
    and files are gone.

    Args:
        threads: that numeric libraries may use in each process, unless OMP_NUM_THREADS says so.

    Raises:
        ConfigError: Ray is not installed.
        ConnectionError: no cluster answers at RAY_ADDRESS.
    """
    check_installed()
    is_local = not os.environ.get("RAY_ADDRESS")
    with contextlib.ExitStack() as undo:
        undo.enter_context(_environment(_settings(threads, is_local=is_local)))
        import ray

        if ray.is_initialized():
            yield
            return
        undo.enter_context(_kept_signal(signal.SIGTERM))
        if is_local:
            from ray._private import ray_constants

            # the same as the setting above, for a program that had imported Ray before
            undo.callback(setattr, ray_constants, "ENABLE_RAY_CLUSTER", _is_open(ray_constants))
            ray_constants.ENABLE_RAY_CLUSTER = False
        options: dict[str, Any] = {"logging_level": logging.WARNING}
        if is_local:
            folder = _folder()
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            options |= {"_temp_dir": folder, "_node_ip_address": "127.0.0.1"}
            options["_system_config"] = {"worker_niceness": 0}  # nobody else works meanwhile
        undo.callback(cast("Any", ray).shutdown)
        _backend({"init_args": options})
        yield


class Slot:
    """One of Flower's actors, in a process of its own.

    Args:
        handle: called there as `handle(identity, message)`; a function of a module.
        resources: of the machine that the actor takes: `num_cpus`, `num_gpus`.
    """

    def __init__(self, handle: Handle, resources: Mapping[str, float]) -> None:
        from flwr.simulation.ray_transport.ray_actor import BasicActorPool, ClientAppActor

        backend = _backend({"client_resources": dict(resources)})
        backend.pool = pool = BasicActorPool(
            cast("Any", ClientAppActor), backend.client_resources, backend.actor_kwargs
        )
        pool.add_actors_to_pool(1)
        backend.app_fn = partial(_app, handle)
        self._backend = backend
        self._actor: Any = pool.pool[0]
        self._turns = ThreadPoolExecutor(1, thread_name_prefix="ray-slot")

    def submit(self, identity: str, message: Incoming) -> Future[Incoming | Failure]:
        """Let the actor handle a message after those before; the future raises Ray's errors."""
        return self._turns.submit(self._run, identity, message)

    def close(self) -> None:
        """End the actor, whatever it is doing."""
        from ray import kill  # pyright: ignore[reportUnknownVariableType]

        self._turns.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Exception):  # its process has died by itself
            kill(self._actor)
        self._turns.shutdown(wait=True)

    def _run(self, identity: str, message: Incoming) -> Incoming | Failure:
        request = make_message(_metadata(message), content=_content(message))
        config: Any = {PARTITION_ID_KEY: 0, _IDENTITY: identity}
        context = Context(message.run_id, message.node_id, config, RecordDict(), {})
        reply, _ = self._backend.process_message(request, context)
        if reply.has_error():
            code, reason = reply.error.code, reply.error.reason or "no reason given"
            return Failure(message.message_id, message.node_id, code, reason)
        return _incoming(reply, message.message_id, message.node_id)


def capacity(resources: Mapping[str, float]) -> int:
    """Return how many actors fit into the machine, or the cluster.

    Raises:
        ConfigError: not even one does.
    """
    from flwr.simulation.ray_transport.ray_actor import pool_size_from_resources

    try:
        return pool_size_from_resources(cast("Any", dict(resources)))
    except ValueError as error:
        raise ConfigError(
            f"no Ray actor with {resources['num_cpus']:g} CPUs and {resources['num_gpus']:g} GPUs "
            "fits into this machine or cluster: ask for less"
        ) from error


def pickled(thing: object) -> bytes:
    """Return an object's bytes; code of the program that was started travels in them."""
    from ray import cloudpickle

    return cast("Any", cloudpickle).dumps(thing)


def _app(handle: Handle) -> ClientApp:
    """Make Flower's app of a node, in the actor."""
    app = ClientApp()

    @app.query(MESSAGE_TYPE.partition(".")[2])
    def answer(message: Message, context: Context) -> Message:  # pyright: ignore[reportUnusedFunction]
        facts = message.metadata
        asked = _incoming(message, facts.message_id, facts.dst_node_id)
        answered = handle(str(context.node_config[_IDENTITY]), asked)
        if isinstance(answered, Failure):
            return Message(Error(answered.code, answered.reason), reply_to=message)
        return Message(_content(answered), reply_to=message)

    return app


def _metadata(message: Incoming) -> Metadata:
    return Metadata(
        run_id=message.run_id,
        message_id=message.message_id,
        src_node_id=0,
        dst_node_id=message.node_id,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=_TTL_SECONDS,
        message_type=MESSAGE_TYPE,
    )


def _content(message: Incoming) -> RecordDict:
    parcel = Parcel(message.kind, message.envelope, message.signature, message.blob)
    content = pack(parcel)
    blob = cast("Any", content[BLOB_RECORD])[BLOB_ARRAY]
    blob.data = bytes(message.blob)  # a view cannot be pickled
    return content


def _incoming(message: Message, message_id: str, node_id: int) -> Incoming:
    parcel = unpack(message.content, _LIMITS)
    return Incoming(
        message_id,
        message.metadata.run_id,
        node_id,
        parcel.kind,
        parcel.envelope,
        parcel.signature,
        parcel.blob,
    )


def _backend(config: dict[str, Any]) -> RayBackend:
    """Make a backend of Flower's; the first one starts Ray."""
    with warnings.catch_warnings():  # Flower's module sets filters of its own
        from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend
    return RayBackend(config)


def _settings(threads: int, *, is_local: bool) -> dict[str, str]:
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if is_local:
        settings |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _TOKEN,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback, on Linux too
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        }
    return settings


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Generator[None]:
    """Set variables for a while; PYTHONPATH, which Flower changes, is put back too."""
    names = {*settings, "PYTHONPATH"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _kept_signal(number: int) -> Generator[None]:
    """Put back the handler of a signal, which Ray replaces in a program's main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(number)
    try:
        yield
    finally:
        signal.signal(number, before)


def _folder() -> str:
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="ray-", dir=usual if len(usual) <= _LONGEST_FOLDER else "/tmp")


def _is_open(constants: Any) -> bool:
    return bool(constants.ENABLE_RAY_CLUSTER)
