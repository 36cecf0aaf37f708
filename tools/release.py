"""What has to be true of a release, and of the files around it.

    release.py files              pyproject.toml, the changelog, workflows and forms say what they should
    release.py dist FOLDER        the sdist has what git has, the wheels have what they need
    release.py complete FOLDER    every file of a release is there
    release.py tag TAG OWNER/NAME the tag is that of the version, and this is the project's own repository
    release.py notes              print the changelog's newest entry

Each prints what is wrong, and ends with status 1 if anything is.
"""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: dict[str, Any] = SETTINGS["project"]
NOT_IN_SDIST = (".ci/*", ".github/*", ".gitignore", "benchmarks/*")
MADE_BY_SETUPTOOLS = ("PKG-INFO", "setup.cfg", "src/hubbub.egg-info/*")
NOT_IN_WHEELS = ("*.c", "*.h", "*.pyx", "*.pxd", "*.pxi")
SAY_IT = {"pyproject.toml", "CHANGELOG.md", "docs/about/changelog.md"}  # files that tell the version
BY_BRANCH = {"pypa/gh-action-pypi-publish@release/v1"}  # it is meant to be used so: it keeps up with the index
PINNED = re.compile(r"uses: *[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}  # of a form for issues


def mapping(text: str) -> dict[Any, Any]:
    """What a YAML file says."""
    import yaml

    found = yaml.safe_load(text)
    return found if isinstance(found, dict) else {}


def targets() -> set[str]:
    """Those of the Makefile."""
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def of_workflow(text: str) -> Iterator[str]:
    """What is wrong with a workflow."""
    for line in text.splitlines():
        if "uses:" in line and not PINNED.search(line) and line.partition("uses:")[2].strip() not in BY_BRANCH:
            yield f"not pinned to a commit, with its version as a comment: {line.strip()}"
    workflow = mapping(text)
    if workflow.get("permissions") != {"contents": "read"}:
        yield "a workflow may read, and a job that needs more says so"
    jobs = workflow.get("jobs", {})
    for name, job in jobs.items():
        if "timeout-minutes" not in job:
            yield f"{name} has no timeout"
        needs = job.get("needs", [])
        unknown = {needs} - jobs.keys() if isinstance(needs, str) else set(needs) - jobs.keys()
        yield from (f"{name} needs {one}, which is no job" for one in unknown)
        for step in job["steps"]:
            yield from (f"{name} calls {what}, which there is not" for what in _absent(step.get("run", "")))


def _absent(command: str) -> Iterator[str]:
    """What a command of ours calls, and there is not."""
    yield from (f"make {name}" for name in re.findall(r"\bmake ([\w-]+)", command) if name not in targets())
    paths = re.findall(r"(?:^|\s)((?:\.ci|tools|tests)/[\w./-]+)", command)
    yield from (path for path in paths if not (ROOT / path).exists())


def of_matrix(text: str, settings: dict[str, Any] = SETTINGS) -> Iterator[str]:
    """Whether the workflow for releases builds for every processor that cibuildwheel is told of."""
    options = settings["tool"]["cibuildwheel"]
    told = {(system, arch) for system in ("linux", "macos") for arch in options[system]["archs"]}
    rows = mapping(text)["jobs"]["wheels"]["strategy"]["matrix"]["include"]
    built = {(row["platform"], row["arch"]) for row in rows}
    if built != told:
        yield f"wheels are built for {sorted(built)}, and pyproject.toml says {sorted(told)}"


def of_form(text: str) -> Iterator[str]:
    """What is wrong with a form for issues."""
    form = mapping(text)
    for key in ("name", "description", "labels", "body"):
        if not form.get(key):
            yield f"the form has no {key}"
    names = [field.get("id") for field in form.get("body", []) if field["type"] != "markdown"]
    if None in names or len(names) != len(set(names)):
        yield f"each field has an id of its own, not {names}"
    for field in form.get("body", []):
        if field["type"] not in FIELDS or not field.get("attributes", {}).get("label"):
            yield f"no field: {field}"


def of_project(project: dict[str, Any] = PROJECT) -> Iterator[str]:
    """What is wrong with pyproject.toml's [project]."""
    urls = project["urls"]
    for name in ("Homepage", "Documentation", "Repository", "Issues", "Changelog", "Security"):
        if not urls.get(name, "").startswith(urls["Repository"]):
            yield f"the URL {name} is not at the repository"
    oldest = re.fullmatch(r">=3\.(\d+)", project["requires-python"])
    listed = [int(minor) for minor in re.findall(r"Python :: 3\.(\d+)'", str(project["classifiers"]))]
    if oldest is None or not listed or listed != list(range(int(oldest[1]), max(listed) + 1)):
        yield f"requires-python is {project['requires-python']}, and the classifiers say 3.{listed}"
    if any(one.startswith("License ::") for one in project["classifiers"]):
        yield "the license is an expression, and no classifier"
    if "version" in project.get("dynamic", []):
        yield "the version is in pyproject.toml"
    try:
        from trove_classifiers import classifiers
    except ModuleNotFoundError:
        return
    for one in set(project["classifiers"]) - classifiers:
        yield f"there is no classifier {one}"


def of_changelog(text: str, released: bool = False) -> Iterator[str]:
    """Whether the newest entry is that of the version; with a date if it is `released`."""
    newest = re.search(r"^## (\S+) \((.+)\)$", text, re.MULTILINE)
    if newest is None or newest[1] != PROJECT["version"]:
        yield f"CHANGELOG.md does not begin with the version {PROJECT['version']}"
    elif newest[2] != "unreleased" or released:
        try:
            datetime.date.fromisoformat(newest[2])
        except ValueError:
            yield f"CHANGELOG.md says ({newest[2]}): a release has its date there, as 2030-01-31"


def of_version(texts: dict[str, str]) -> Iterator[str]:
    """Whether the version is said in one place, and in the changelog."""
    for name, text in texts.items():
        if name not in SAY_IT and re.search(rf"version\W+{re.escape(PROJECT['version'])}\b", text):
            yield f"{name} says the version, which is in pyproject.toml"


def of_wheels(options: dict[str, Any]) -> Iterator[str]:
    """Whether cibuildwheel understands its options, and builds for every Python that is supported."""
    command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform"]
    listed = {f"cp3{minor}" for minor in re.findall(r"Python :: 3\.(\d+)'", str(PROJECT["classifiers"]))}
    for system, kinds in (("linux", ("manylinux", "musllinux")), ("macos", ("macosx",))):
        archs = options[system]["archs"]
        arguments = [*command, system, "--archs", ",".join(archs)]
        environment = {**os.environ, "CIBW_BUILD": options["build"]}
        done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"cibuildwheel refuses: {done.stderr.strip()}"
            continue
        built = set(done.stdout.split())
        wanted = {f"{python}-{kind}_{arch}" for python, kind, arch in product(listed, kinds, archs)}
        if missing := wanted - built:
            yield f"cibuildwheel builds no {sorted(missing)}"
    yield from _against_its_schema(options)


def _against_its_schema(options: dict[str, Any]) -> Iterator[str]:
    try:
        import cibuildwheel
        import jsonschema
    except ModuleNotFoundError:
        return
    import json

    schema = json.loads(
        Path(cibuildwheel.__file__).with_name("resources").joinpath("cibuildwheel.schema.json").read_text()
    )
    for error in jsonschema.Draft7Validator(schema).iter_errors(options):
        yield f"tool.cibuildwheel: {error.message}"


def files() -> Iterator[str]:
    """Everything that can be seen before anything is built."""
    yield from of_project()
    yield from of_changelog((ROOT / "CHANGELOG.md").read_text())
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        yield from (f"{path.name}: {wrong}" for wrong in of_workflow(path.read_text()))
    yield from of_matrix((ROOT / ".github/workflows/release.yml").read_text())
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")):
        if path.name != "config.yml":
            yield from (f"{path.name}: {wrong}" for wrong in of_form(path.read_text()))
    for link in mapping((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text())["contact_links"]:
        if not link["url"].startswith(PROJECT["urls"]["Repository"]):
            yield f"config.yml leads to {link['url']}"
    tracked = [ROOT / name for name in in_git() if not name.startswith("benchmarks/")]
    yield from of_version({str(path.relative_to(ROOT)): path.read_text("utf-8", "replace") for path in tracked})
    yield from of_wheels(SETTINGS["tool"]["cibuildwheel"])


def in_git() -> list[str]:
    """The files that git knows; none where this is no repository."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def of_sdist(has: set[str], tracked: set[str]) -> Iterator[str]:
    """What an sdist has too much, or lacks."""
    has = {name for name in has if not _is_any(name, MADE_BY_SETUPTOOLS)}
    wanted = {name for name in tracked if not _is_any(name, NOT_IN_SDIST)}
    yield from (f"the sdist lacks {name}" for name in sorted(wanted - has))
    yield from (f"the sdist has {name}, which git has not" for name in sorted(has - wanted))


def of_wheel(has: set[str], tracked: set[str], description: str) -> Iterator[str]:
    """What a wheel has too much, or lacks."""
    has = {name for name in has if not name.endswith((".so", "/")) and ".dist-info/" not in name}
    source = {name.removeprefix("src/") for name in tracked if name.startswith("src/")}
    wanted = {name for name in source if not _is_any(name, NOT_IN_WHEELS)}
    yield from (f"the wheel lacks {name}" for name in sorted(wanted - has))
    yield from (f"the wheel has {name}" for name in sorted(has - wanted))
    for link in re.findall(r"\]\((?![a-z]+:|#)[^)]*\)", description):
        yield f"the description's link leads nowhere on the package index: {link}"


def dist(folder: Path) -> Iterator[str]:
    """Everything that can be seen of what was built here."""
    tracked = set(in_git())
    if not tracked:
        print("this is no git repository: what is built is not compared with it")
        return
    for path in sorted(folder.glob("*.tar.gz")):
        with tarfile.open(path) as archive:
            has = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
        yield from of_sdist(has, tracked)
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as archive:
            (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            description = archive.read(metadata).decode()
            yield from (f"{path.name}: {wrong}" for wrong in of_wheel(set(archive.namelist()), tracked, description))


def complete(names: list[str]) -> Iterator[str]:
    """What a release lacks, and what does not belong to it."""
    options, version = SETTINGS["tool"]["cibuildwheel"], PROJECT["version"]
    pythons = [build.removesuffix("-*") for build in options["build"].split()]
    kinds = [f"*{kind}*{arch}" for kind in ("manylinux", "musllinux") for arch in options["linux"]["archs"]]
    kinds += [f"macosx*{arch}" for arch in options["macos"]["archs"]]
    wanted = [f"hubbub-{version}.tar.gz", f"hubbub-{version}-py3-none-any.whl"]
    wanted += [f"hubbub-{version}-{python.rstrip('t')}-{python}-{kind}.whl" for python in pythons for kind in kinds]
    yield from (f"there is no {one}" for one in wanted if not any(fnmatch(name, one) for name in names))
    yield from (f"what is {name}?" for name in names if not any(fnmatch(name, one) for one in wanted))


def tag(name: str, repository: str) -> Iterator[str]:
    """Whether that is the tag to release."""
    if name != f"v{PROJECT['version']}":
        yield f"the tag is {name}, and the version {PROJECT['version']}"
    if PROJECT["urls"]["Repository"] != f"https://github.com/{repository}":
        yield f"the project is at {PROJECT['urls']['Repository']}, and this is {repository}"
    yield from of_changelog((ROOT / "CHANGELOG.md").read_text(), released=True)


def notes() -> str:
    """The changelog's newest entry, without its heading."""
    entries = re.split(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    return entries[1].strip()


def _is_any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    match arguments:
        case ["files"]:
            wrong = list(files())
        case ["dist", folder]:
            wrong = list(dist(Path(folder)))
        case ["complete", folder]:
            wrong = list(complete(sorted(path.name for path in Path(folder).iterdir())))
        case ["tag", name, repository]:
            wrong = list(tag(name, repository))
        case ["notes"]:
            print(notes())
            return 0
        case _:
            print(__doc__)
            return 2
    print("\n".join(wrong) or f"{arguments[0]}: nothing is wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
