"""python writer_script.py URL NAME COUNT: open a database and write to it from two threads.

Waits for a line on its standard input first, so that several start at the same instant.
"""

import sys
import threading

from polyrank.store import open_ledger
from store_blobs import adapter_blob


def write(ledger, name: str, count: int, failures: list) -> None:
    try:
        registry = ledger.registry
        registry.create_adapter(name, base_model="base")
        for number in range(count):
            registry.publish(name, adapter_blob(fill=number))
            registry.set_alias(name, "stable", number)
            registry.search(limit=5)
    except Exception as error:
        failures.append(repr(error))


def main(url: str, name: str, count: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    with open_ledger(url) as ledger:
        ledger.registry.register_base_model("base", fingerprint="f")
        failures: list = []
        threads = [
            threading.Thread(target=write, args=(ledger, f"{name}/{i}", int(count), failures))
            for i in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(failures or "done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
