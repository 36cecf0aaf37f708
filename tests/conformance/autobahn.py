"""Runs Autobahn's WebSocket test suite against hubbub's server, plainly and over TLS, and judges its reports.

Fails if any case FAILED, in what was done or in how it was closed, or if more than three outside of section 6.4 are
NON-STRICT. (6.4 asks for failing on bad UTF-8 within a fragment's bytes, where strictness is a question of timing.)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".conformance"
GOOD = {"OK", "INFORMATIONAL"}
MOST_NON_STRICT = 3
QUICK = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.1", "12.2.2", "13.1.1", "13.3.2", "13.7.1"]
KINDS = ["plain", "tls"]
# What runs side by side: the two halves of the whole suite take about as long
WHOLE = [["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*"], ["13.*"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help='such as "6.*" or 9.3.1; left out, all 517')
    parser.add_argument(
        "--quick", action="store_true", help="sections 1 to 7 and 10, and some of 12 and 13: 20 seconds"
    )
    parser.add_argument("--loop", default="auto", help="the server's event loop: auto, uvloop or asyncio")
    parser.add_argument("--only", choices=KINDS, help="only plainly, or only over TLS; left out, both side by side")
    chosen = parser.parse_args()
    groups = [chosen.cases] if chosen.cases else [QUICK] if chosen.quick else WHOLE
    wstest = subprocess.run(
        [sys.executable, str(ROOT / "tools/wstest.py"), str(CACHE / "wstest")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if wstest.returncode:
        sys.exit(wstest.returncode)
    sys.exit(asyncio.run(run(wstest.stdout.strip(), groups, chosen.loop, [chosen.only] if chosen.only else KINDS)))


async def run(wstest: str, groups: list[list[str]], loop: str, kinds: list[str]) -> int:
    started = time.monotonic()
    runs = [(kind, number) for kind in kinds for number in range(len(groups))]
    progress = asyncio.create_task(show_progress(runs))
    await asyncio.gather(*(run_kind(wstest, groups, loop, kind) for kind in kinds))
    progress.cancel()
    status = 0
    for kind in kinds:
        results: dict[str, dict[str, str]] = {}
        for number in range(len(groups)):
            (of_server,) = json.loads((reports(kind, number) / "index.json").read_text()).values()
            results |= of_server
        print(f"{kind}:")
        status |= judge(results, time.monotonic() - started)
    return status


async def run_kind(wstest: str, groups: list[list[str]], loop: str, kind: str) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("echo.py")), loop, kind, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        url = f"{'wss' if kind == 'tls' else 'ws'}://127.0.0.1:{int(await server.stdout.readline())}"
        print(f"running Autobahn's cases against {url}", flush=True)
        await asyncio.gather(
            *(run_group(wstest, url, reports(kind, number), cases) for number, cases in enumerate(groups))
        )
    finally:
        server.terminate()
        await server.wait()


def reports(kind: str, group: int) -> Path:
    return CACHE / f"reports-{kind}-{group}"


async def run_group(wstest: str, url: str, folder: Path, cases: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.json").unlink(missing_ok=True)
    spec = {
        "outdir": str(folder),
        "servers": [{"agent": "hubbub", "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    with open(folder / "log.txt", "w") as log:
        client = await asyncio.create_subprocess_exec(
            wstest, "-m", "fuzzingclient", "-s", str(folder / "spec.json"), stdout=log, stderr=log, cwd=folder
        )
        await client.wait()
    if not (folder / "index.json").exists():
        sys.exit(f"Autobahn wrote no report; see {folder}/log.txt")


async def show_progress(runs: list[tuple[str, int]]) -> None:
    while True:
        await asyncio.sleep(15)
        logs = [reports(*run) / "log.txt" for run in runs]
        done = sum(log.read_text().count("Running test case ID") for log in logs if log.exists())
        print(f"  {done} cases so far", flush=True)


def judge(results: dict[str, dict[str, str]], seconds: float) -> int:
    """Print what came out. Returns the exit status."""
    count: Counter[str] = Counter()
    failed, non_strict = [], []
    for case, result in sorted(results.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
        behaviour, closing = result["behavior"], result["behaviorClose"]
        count[behaviour] += 1
        if behaviour == "NON-STRICT" and closing in GOOD:
            if not case.startswith("6.4."):
                non_strict.append(case)
        elif behaviour not in GOOD or closing not in GOOD:
            failed.append(case)
            print(f"  {case}: {behaviour}, closing: {closing}")
    print(f"{len(results)} cases in {seconds:.0f} s: " + ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
    print(f"FAILED: {len(failed)}   NON-STRICT outside 6.4: {len(non_strict)} {' '.join(non_strict)}".rstrip())
    return int(bool(failed) or len(non_strict) > MOST_NON_STRICT)


if __name__ == "__main__":
    main()
