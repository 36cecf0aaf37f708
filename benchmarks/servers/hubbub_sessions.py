"""Channels on hubbub's sessions of the Centrifuge protocol: everybody may subscribe and publish.

KEPT asks for a history and positions, HUBBUB_NATIVE chooses the twin, and HUBBUB_BROKER what keeps the history.
"""

from __future__ import annotations

import os
import sys

import stall

import hubbub
from hubbub.realtime import History, Namespace, Realtime

kept = Namespace(history=History(300, 60), force_recovery=True)
rt = Realtime(insecure=True, namespaces={"": kept if os.environ.get("KEPT") else Namespace()})


def counts() -> dict[str, float]:
    now = rt.hub.statistics()
    return {"sends": now.sends, "handed_over": now.deliveries}


def ready(_server: hubbub.Server) -> None:
    stall.watch(counts)
    print("ready", flush=True)


if __name__ == "__main__":
    hubbub.run(rt.handler, hub=rt.hub, port=int(sys.argv[1]), started=ready)
