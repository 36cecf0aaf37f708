"""Puts each peer into an environment of its own under `.peers/`, once: what it needs is written beside it.

A peer that cannot be had is remembered with the reason, and not asked for again; remove its folder to try again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / ".peers"
BUILD = HERE / "native" / "build"
PARTS = ("load", "accept", "client", "tls", "frames", "ledger", "figures", "stamp", "dialect", "inflate", "buffered")
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")
# What the load can do without, and the word that tells it so.
ZLIB = ("zlib.h", ("-lz",), "-DNO_ZLIB")
OPENSSL = ("openssl/ssl.h", ("-lssl", "-lcrypto"), "-DNO_TLS")


class Missing(Exception):
    """Something is not to be had here; the text says why."""


def native(folder: Path = BUILD) -> Path:
    """Compile the load and the floor. Returns the load. Raises: Missing: there is no C compiler, or it refuses."""
    folder.mkdir(exist_ok=True)
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise Missing(f"no C compiler {compiler!r} here: apt-get install gcc libc6-dev, or set CC")
    source = HERE / "native"
    words = [compiler, *FLAGS, "-o", str(folder / "load"), *(str(source / f"{part}.c") for part in PARTS)]
    for header, libraries, without in (ZLIB, OPENSSL):
        words += libraries if _links(header, libraries) else [without]
    _do(words)
    _do([compiler, *FLAGS, "-pthread", "-o", str(folder / "floor"), str(source / "floor.c")])
    return folder / "load"


@cache
def certificate(folder: Path = BUILD) -> Path:
    """A key on the curve P-256 and its certificate for 127.0.0.1, in one new file.

    Raises: Missing: nothing here makes it, or the load cannot use it.
    """
    if not _links(*OPENSSL[:2]):
        raise Missing("no headers of OpenSSL for the load: apt-get install libssl-dev")
    try:
        import trustme
    except ImportError:
        raise Missing("no trustme to make a certificate: pip install trustme") from None
    path = folder / "certificate.pem"
    made = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    made.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


@cache
def _links(header: str, libraries: tuple[str, ...]) -> bool:
    """Whether a C program can have this header and these libraries."""
    program = f"#include <{header}>\nint main(void) {{ return 0; }}\n"
    command = [os.environ.get("CC", "cc"), "-x", "c", "-", "-o", os.devnull, *libraries]
    return subprocess.run(command, input=program, text=True, capture_output=True, check=False).returncode == 0


def python(name: str, *requirements: str) -> Path:
    """The interpreter of an environment with these packages. Raises: Missing."""

    def install(folder: Path) -> None:
        _do([sys.executable, "-m", "venv", str(folder / "venv")])
        _do([str(folder / "venv/bin/python"), "-m", "pip", "install", "-q", *requirements])

    return _once(name, requirements, install) / "venv/bin/python"


def node(name: str, package: str) -> Path:
    """The folder of an npm package's environment. Nothing of the packages is run. Raises: Missing."""
    if shutil.which("npm") is None:
        raise Missing("no npm here")

    def install(folder: Path) -> None:
        (folder / "package.json").write_text('{"private": true}\n')
        _do(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", package], folder)

    return _once(name, (package,), install)


def bun() -> Path:
    """Bun's binary, which npm's package brings in the part for this platform. Raises: Missing."""
    found = sorted(node("bun", "bun").glob("node_modules/@oven/bun-*/bin/bun"))
    if not found:
        raise Missing("npm's package bun has no binary for this platform")
    return found[0]


def go(name: str, module: str) -> Path:
    """The binary of a Go module. Raises: Missing."""
    _has_go()
    install = _go_install(module)
    return next((_once(name, (module,), install) / "bin").iterdir())


def go_here(name: str, source: Path) -> Path:
    """The binary of a Go program of this suite. Raises: Missing."""
    _has_go()
    stamp = tuple(str(int(path.stat().st_mtime)) for path in sorted(source.iterdir()))

    def install(folder: Path) -> None:
        _do(["go", "build", "-o", str(folder / "server"), "."], source)

    return _once(name, stamp, install) / "server"


def system(program: str, package: str) -> Path:
    """A program that the machine has, or not. Raises: Missing."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"no {program} here: apt-get install {package}")
    return Path(found)


def _has_go() -> None:
    if shutil.which("go") is None:
        raise Missing("no Go here")


def _go_install(module: str) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        _do(["go", "install", module], folder, GOBIN=str(folder / "bin"))

    return install


def _once(name: str, wanted: tuple[str, ...], install: Callable[[Path], None]) -> Path:
    folder = PEERS / name
    done, refused = folder / "installed", folder / "refused"
    text = "\n".join(wanted)
    if done.exists() and done.read_text() == text:
        return folder
    if refused.exists():
        raise Missing(refused.read_text())
    print(f"installing {name}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        install(folder)
    except Missing as error:
        refused.write_text(str(error))
        raise
    done.write_text(text)
    return folder


def _do(command: list[str], folder: Path | None = None, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=1200
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise Missing(f"{Path(command[0]).name} failed: {_telling(lines)}")


def _telling(lines: list[str]) -> str:
    """The line that says most, without the addresses in it."""
    line = next((line for line in lines if "error" in line.lower()), lines[-1])
    words = [word for word in line.split() if "://" not in word]
    return " ".join(words)[:160]
