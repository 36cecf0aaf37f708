"""What programs publish to sessions, in process and over HTTP, and sessions that come back: what native/load.c does not
measure.

The rest of what sessions cost are workloads of run.py. Prints one table, medians with least and most in brackets.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import installed
import machine
from measure import Failed, Running
from peers import OURS, PEERS, Peer
from workloads import Workload

CLIENTS = Path(__file__).parent / "clients"
KEY = "only on this machine"
SERVE = Peer(
    "hubbub serve",
    lambda port: [str(Path(sys.executable).with_name("hubbub")), "serve", "--port", str(port)],
    environment={
        "HUBBUB_HTTP_API_KEY": KEY,
        "HUBBUB_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE": "300",
        "HUBBUB_CHANNEL_WITHOUT_NAMESPACE_HISTORY_TTL": "60s",
    },
)
API_PEERS = (SERVE, replace(PEERS["Centrifugo"], environment={"CENTRIFUGO_HTTP_API_KEY": KEY}))
BATCHES = (1, 100)
GOALS = {("hubbub serve", 1): 8_000, ("hubbub serve", 100): 100_000}  # publications a second
API = Workload("api", "publications over the HTTP API", (), needs="sessions", kept=True)
RECOVERING = Workload("recovering", "1,000 sessions recover 100 publications each", (), needs="sessions", kept=True)


def published(scheme: str, seconds: float) -> dict[str, Any]:
    """64 tasks of one process publish; a relay, if there is one, has the other core."""
    with tempfile.TemporaryDirectory() as folder:
        url = scheme if scheme == "memory:" else f"{scheme}{folder}/history.db"
        return _told([sys.executable, str(CLIENTS / "publishing.py"), url, str(seconds)], machine.CORES)


def recovered(name: str) -> dict[str, Any]:
    """Server and clients have a core each."""
    with Running(PEERS[name], RECOVERING) as server:
        command = [sys.executable, str(CLIENTS / "recovering.py"), str(server.port), str(server.process.pid)]
        return _told(command, [machine.LOAD])


def over_http(peer: Peer, batch: int, seconds: float) -> dict[str, Any]:
    """Server and client have a core each."""
    with Running(peer, API) as server:
        command = [sys.executable, str(CLIENTS / "api.py"), str(server.port), str(server.process.pid)]
        figures = _told([*command, KEY, str(batch), str(seconds)], [machine.LOAD])
    if goal := GOALS.get((peer.name, batch)):
        figures["of_goal"] = figures["publications_per_s"] / goal
    return figures


def _told(command: list[str], cores: Any) -> dict[str, Any]:
    done = subprocess.run([*machine.pinned(*cores), *command], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise Failed(done.stderr.strip()[-300:])
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of publishing in each run")
    chosen = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(chosen.rounds):
        for scheme in ("memory:", "sqlite:"):
            runs.setdefault(f"rt.publish, {scheme}", []).append(published(scheme, chosen.seconds))
        for peer in API_PEERS:
            for batch in BATCHES:
                how = "singly" if batch == 1 else f"{batch} in a request"
                try:
                    run = over_http(peer, batch, chosen.seconds)
                except (Failed, installed.Missing) as error:
                    print(f"without {peer.name}: {error}")
                else:
                    runs.setdefault(f"HTTP API, {how}, {peer.name}", []).append(run)
        for name in (OURS, "centrifuge (Go)", "Centrifugo"):
            try:
                runs.setdefault(f"recovering, {name}", []).append(recovered(name))
            except (Failed, installed.Missing) as error:
                print(f"without {name}: {error}")
    for what, figures in runs.items():
        told = ", ".join(f"{key} {_spread([run[key] for run in figures])}" for key in (figures[0] if figures else ()))
        print(f"{what}: {told}")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.4g} ({min(values):.4g}-{max(values):.4g})"


if __name__ == "__main__":
    main()
