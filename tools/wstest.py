"""Installs Autobahn's WebSocket test suite, which runs on Python 2.7 alone: python3 tools/wstest.py FOLDER

Prints the path of the program. A Python 2.7 that is there is used; otherwise Debian 11's, which is the last to have
one, is unpacked into the folder, and nothing of it is installed. Needs Debian's apt-get and a C compiler.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = "autobahntestsuite==25.10.1"
VIRTUALENV = "virtualenv==20.15.1"  # the last that makes environments for Python 2.7
BUILD_TOOLS = ["pip==20.3.4", "setuptools==44.0.0", "wheel==0.36.2"]  # the last for Python 2.7
PACKAGES = [
    "python2.7",
    "python2.7-minimal",
    "python2.7-dev",
    "libpython2.7",
    "libpython2.7-minimal",
    "libpython2.7-stdlib",
    "libpython2.7-dev",
    "libssl1.1",
    "libffi7",
]
RELEASE = "bullseye"
APT_CONF = """\
Dir::Etc::sourcelist "{0}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "{0}/lists";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
"""


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    print(install(Path(sys.argv[1]).absolute()))


def install(folder: Path) -> Path:
    """The program `wstest` in that folder, which is installed there unless it has been."""
    program = folder / "wstest"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    old = find_python()
    say(f"installing {SUITE}, " + (f"on {old}" if old else "with Debian 11's Python 2.7") + ", into " + str(folder))
    with open(folder / "install.log", "w") as log:
        try:
            (install_with(old, folder, log) if old else install_unpacked(folder, log))
        except subprocess.CalledProcessError as error:
            sys.exit(f"{error.cmd[0]} failed; see {folder}/install.log")
    run([str(program), "--help"], None)
    return program


def find_python() -> str | None:
    """A Python 2.7 of this machine."""
    known = sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))
    return str(known[-1]) if known else shutil.which("python2.7")


def install_with(old: str, folder: Path, log: object) -> None:
    run([old, "-m", "pip", "-q", "install", "--target", folder / "virtualenv", VIRTUALENV], log)
    run([old, "-m", "virtualenv", "-q", folder / "venv"], log, PYTHONPATH=str(folder / "virtualenv"))
    run([folder / "venv/bin/pip", "-q", "install", SUITE], log)
    (folder / "wstest").symlink_to(folder / "venv/bin/wstest")


def install_unpacked(folder: Path, log: object) -> None:
    download, root = folder / "download", folder / "root"
    for name in ("lists/partial", "cache/archives/partial", "packages", "wheels"):
        (download / name).mkdir(parents=True, exist_ok=True)
    (download / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (download / "sources.list").write_text(f"deb [signed-by={keys}] {mirror()} {RELEASE} main\n")
    (download / "apt.conf").write_text(APT_CONF.format(download))
    apt = {"APT_CONFIG": str(download / "apt.conf")}
    run(["apt-get", "-qq", "update"], log, **apt)
    run(["apt-get", "-qq", "download", *PACKAGES], log, cwd=download / "packages", **apt)
    for package in sorted((download / "packages").glob("*.deb")):
        run(["dpkg", "-x", package, root], log)
    run([sys.executable, "-m", "pip", "-q", "download", "--no-deps", "-d", download / "wheels", *BUILD_TOOLS], log)
    site = root / "usr/local/lib/python2.7/dist-packages"
    site.mkdir(parents=True, exist_ok=True)
    for wheel in sorted((download / "wheels").glob("*.whl")):
        shutil.unpack_archive(wheel, site, "zip")
    python = script(folder / "python2", 'exec "{0}/usr/bin/python2.7" "$@"', root)
    headers = f"-I{root}/usr/include -I{root}/usr/include/python2.7"
    pip = [python, "-m", "pip", "-q", "install", "--no-build-isolation"]
    run([*pip, "incremental==16.10.1"], log, CFLAGS=headers)  # what the suite's dependencies need before they build
    run([*pip, SUITE], log, CFLAGS=headers)
    script(folder / "wstest", 'exec "{0}/usr/bin/python2.7" -m autobahntestsuite.wstest "$@"', root)


def script(path: Path, command: str, root: Path) -> Path:
    """An executable that runs the unpacked Python with its own libraries."""
    libraries = f"{root}/usr/lib/{os.uname().machine}-linux-gnu"
    setting = f'export LD_LIBRARY_PATH="{libraries}" PYTHONHOME="{root}/usr"'
    path.write_text(f"#!/bin/sh\n{setting}\n{command.format(root)}\n")
    path.chmod(0o755)
    return path


def mirror() -> str:
    """Where this machine gets Debian's packages from."""
    known = subprocess.run(["apt-get", "indextargets"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"^Repo-URI: (\S+/debian/)$", known, re.MULTILINE)
    if found is None:
        sys.exit("neither a Python 2.7 nor a Debian mirror in apt's sources: Autobahn's suite cannot be installed here")
    return found[1]


def run(command: list[object], log: object, cwd: Path | None = None, **environment: str) -> None:
    subprocess.run(
        [str(part) for part in command],
        check=True,
        cwd=cwd,
        stdout=log or subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
