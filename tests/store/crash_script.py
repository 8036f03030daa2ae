"""python crash_script.py FOLDER: kill -9 a committing process at each of its steps.

FOLDER/ready holds a registry whose round 1 is ready to be committed; each step gets a copy of it,
and a forked child that commits there and kills itself in that step. A process of its own, since
only one without threads may fork. Prints the steps whose child was really killed.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from polyrank.store import _blobs, _commit, _writes, open_ledger
from store_blobs import adapter_blob
from store_worlds import NAME


def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function):
    def wrapped(*args, **kwargs):
        function(*args, **kwargs)
        die()

    return wrapped


def patch(where, name, before: bool):
    def install():
        setattr(where, name, die if before else then_die(getattr(where, name)))

    return install


STEPS = {
    "staging": patch(_blobs.os, "fsync", before=True),
    "before the blob is placed": patch(_writes, "add_blob", before=True),
    "blob placed, not named": patch(_blobs._StagedFile, "place", before=False),
    "blob named": patch(_writes, "add_blob", before=False),
    "version made, nothing counted": patch(_commit, "count", before=True),
    "counted": patch(_commit, "count", before=False),
    "alias moved": patch(_commit, "move_alias", before=False),
    "round closed, not committed": patch(_commit, "reread", before=False),
    "committed, nobody told": None,
}


def commit(folder: Path) -> None:
    ledger = open_ledger(f"sqlite:///{folder}/registry.db")
    keys = [c.task_key for c in ledger.contributions(NAME)]
    ledger.commit_round(
        NAME,
        1,
        data=adapter_blob(fill=9),
        counted=keys,
        aliases=["stable"],
        epoch=ledger.epoch(),
    )


def main(root: Path) -> None:
    for number, (step, install) in enumerate(STEPS.items()):
        folder = root / str(number)
        shutil.copytree(root / "ready", folder)
        child = os.fork()
        if child == 0:
            if install is not None:
                install()
            commit(folder)
            die()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            print(number, step)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
