"""A node without a model: it answers each task as the task's envelope asks.

``python echo_node.py HOST:PORT STATE_DIR``. The envelope may hold ``sleep`` (seconds), ``size``
(bytes of the answer's blob, else the task's blob comes back) and ``fail`` (a reason). The answer's
envelope holds the digest of the blob that arrived and the ids of the two processes.
"""

import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path

from polyrank.client._flower import Incoming, NodeInbox, SuperNode


def answer(inbox: NodeInbox, node: SuperNode, task: Incoming) -> None:
    wish = json.loads(task.envelope)
    time.sleep(wish.get("sleep", 0))
    if "fail" in wish:
        inbox.fail(task, wish["fail"])
        return
    size = wish.get("size")
    blob = task.blob if size is None else os.urandom(size)
    said = {
        "received": hashlib.sha256(task.blob).hexdigest(),
        "sent": hashlib.sha256(blob).hexdigest(),
        "node": node.pid,
        "process": os.getpid(),
    }
    inbox.reply(task, envelope=json.dumps(said).encode(), signature=b"signed", blob=blob)


def main() -> None:
    address, state_dir = sys.argv[1], Path(sys.argv[2])
    with SuperNode(address, state_dir) as node:
        inbox = NodeInbox(node)
        while True:
            task = inbox.receive(timeout_seconds=5)
            if task is not None:
                threading.Thread(target=answer, args=(inbox, node, task), daemon=True).start()


if __name__ == "__main__":
    main()
