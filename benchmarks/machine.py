"""The machine: its cores, what it is, and what a process on it costs."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))[:2]
SERVER, LOAD = CORES[0], CORES[-1]


def pinned(*cores: int) -> list[str]:
    """The words that start a command on these cores."""
    return ["taskset", "-c", ",".join(map(str, cores))]


def memory(pid: int, field: str = "VmRSS") -> int:
    """Bytes of resident memory of a process: now, or at most (`VmHWM`)."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def facts() -> dict[str, str]:
    """What a reader of the results must know of the machine."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "compiler": compiler.partition("\n")[0],
    }
