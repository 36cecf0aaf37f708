"""What pages of the docs show in other languages than Python: each kind of block, judged by what would read it."""

from __future__ import annotations

import argparse
import configparser
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import typer
import yaml
from typer.main import get_command
from uvicorn.main import main as uvicorn_command

from hubbub.cli import app
from hubbub.standalone import configuration
from support.pages import ROOT, Block

__all__ = ["JUDGES", "commands", "judge_command", "variables"]

FILES = re.compile(r"\b(?:examples|deploy|benchmarks|docs)/[\w./@-]+\b")
UNIT = {"Unit", "Service", "Install", "Timer", "Socket"}
INSTRUCTIONS = {"FROM", "RUN", "CMD", "COPY", "ADD", "WORKDIR", "ENV", "EXPOSE", "USER", "ENTRYPOINT", "ARG", "LABEL",
                "HEALTHCHECK", "STOPSIGNAL", "VOLUME", "SHELL"}  # fmt: skip
REFUSALS = (click.UsageError, typer.BadParameter.__mro__[1], argparse.ArgumentError, SystemExit)  # Typer has its own
OPERATORS = {"&&", "||", "|", ";", "&"}


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a shell, word by word, without what is set in front of them."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue  # what a program answers
            line = line.removeprefix("$ ")
        yield from commands_of(line)


def commands_of(line: str) -> Iterator[list[str]]:
    words = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    words.whitespace_split = True
    command: list[str] = []
    for word in [*words, ";"]:
        if word not in OPERATORS:
            command.append(word)
            continue
        while command and re.fullmatch(r"\w+=.*", command[0]):
            del command[0]
        if command:
            yield command
        command = []


def judge_command(command: list[str], whole: bool = True) -> None:
    """What it names in a folder need not be there.

    Args: whole: it is one to type, and not the beginning of one in a sentence.
    Raises: AssertionError: it is of hubbub, uvicorn, gunicorn, make or pip, and they would refuse it.
    """
    program, *rest = command
    if re.fullmatch(r"(.*/)?python[\d.]*", program) and rest[:1] == ["-m"]:
        program, *rest = rest[1:]
    name = program.rpartition("/")[2]
    try:
        if name == "hubbub":
            taken(get_command(app), rest, command)
        elif name == "uvicorn":
            uvicorn_command.make_context("uvicorn", list(rest))
        elif name == "gunicorn":
            gunicorn_options().parse_args(rest)
    except REFUSALS as error:
        said = str(getattr(error, "message", error))
        partial = not whole and (type(error).__name__ == "MissingParameter" or "requires an argument" in said)
        if not (partial or "does not exist" in said):
            raise AssertionError(f"{shlex.join(command)}: {said or type(error).__name__}") from None
    if name == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert not {word for word in rest if re.fullmatch(r"[\w-]+", word)} - set(targets), command
    if name == "pip":
        for extras in re.findall(r"^hubbub\[([\w,-]+)\]$", "\n".join(rest), re.MULTILINE):
            assert set(extras.split(",")) <= set(project()["optional-dependencies"]), command


def taken(group: Any, words: list[str], command: list[str]) -> None:
    """Raises: click.UsageError: no such command or option, or a value that is none. Nothing is called."""
    if not words:
        return
    if words[0].startswith("-"):
        assert words[0] in {flag for option in group.params for flag in option.opts} | {"--help"}, command
        return
    one = group.commands.get(words[0])
    assert one is not None, f"{shlex.join(command)}: no command {words[0]}"
    if "--help" not in words:
        one.make_context(words[0], words[1:], parent=click.Context(group, info_name="hubbub"))


@cache
def gunicorn_options() -> Any:
    import gunicorn.config

    return gunicorn.config.Config().parser()


@cache
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


@cache
def variables() -> set[str]:
    """Those that hubbub reads."""
    of_commands = {param.envvar for one in get_command(app).commands.values() for param in one.params}  # type: ignore[attr-defined]
    of_setup = set(re.findall(r"HUBBUB_\w+", (ROOT / "setup.py").read_text()))
    of_files = set(re.findall(r"`(HUBBUB_\w+)`", (ROOT / "docs" / "configuration.md").read_text()))
    return {str(one) for one in of_commands} | of_setup | of_files | {"HUBBUB_BROKER"}


def shell(block: Block) -> None:
    for command in commands(block):
        judge_command(command)


def toml(block: Block) -> None:
    """A file of `hubbub serve --config`, unless its title or tables are those of another program."""
    data = tomllib.loads(block.text)
    if block.title in ("", "hubbub.toml") and not data.keys() & {"project", "tool", "build-system"}:
        judge_configuration(block, "toml")


def judge_configuration(block: Block, kind: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        file = Path(folder, f"hubbub.{kind}")
        file.write_text(block.text)
        found = configuration(file, {}, {}, {})
    assert not found.mistakes, "\n".join(map(str, found.mistakes))


def json_text(block: Block) -> None:
    json.loads(block.text)
    if block.title.startswith("hubbub."):
        judge_configuration(block, "json")


def yaml_text(block: Block) -> None:
    for document in yaml.safe_load_all(block.text):
        assert isinstance(document, dict | list), block.text
        if isinstance(document, dict) and ("kind" in document or "apiVersion" in document):
            assert document.keys() >= {"apiVersion", "kind"}, block.text
            for command in containers(document):
                judge_command(command)
        elif isinstance(document, dict) and "services" in document:
            for service in document["services"].values():
                said = service.get("command")
                if said:
                    judge_command(shlex.split(said) if isinstance(said, str) else [str(word) for word in said])


def containers(node: Any) -> Iterator[list[str]]:
    """What the containers of a manifest of Kubernetes run."""
    if isinstance(node, dict):
        if "image" in node and "command" in node:
            yield [str(word) for word in [*node["command"], *node.get("args", [])]]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from containers(inner)


def unit(block: Block) -> None:
    """systemd's, which repeats keys; its commands are looked at."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(block.text)
    assert set(parser.sections()) <= UNIT or block.title, parser.sections()
    for section in parser.values():
        for key, value in section.items():
            if key.startswith("Exec"):
                judge_command(shlex.split(value.replace("%i", "8001")))


def dockerfile(block: Block) -> None:
    lines = [line for line in block.text.replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]
    assert lines[0].split()[0] in ("FROM", "ARG"), lines[0]
    for line in lines:
        word, _, rest = line.partition(" ")
        assert word in INSTRUCTIONS, line
        if word in ("CMD", "ENTRYPOINT") and rest.lstrip().startswith("["):
            judge_command(json.loads(rest))
        elif word in ("CMD", "RUN", "ENTRYPOINT"):
            for command in commands_of(re.sub(r"--mount=\S+ ", "", rest)):
                judge_command(command)


def braces(block: Block) -> None:
    """nginx and Caddy: tests/integration/brokers/test_deployment_files.py asks the programs for whole files."""
    bare = re.sub(r'#.*|"[^"\n]*"', "", block.text)
    depth = 0
    for sign in re.findall(r"[{}]", bare):
        depth += 1 if sign == "{" else -1
        assert depth >= 0, block.text
    assert depth == 0, block.text


def nginx(block: Block) -> None:
    braces(block)
    for line in re.sub(r'#.*|"[^"\n]*"', "", block.text).splitlines():
        assert not line.strip() or line.rstrip()[-1] in "{};", f"no semicolon: {line}"


def anything(block: Block) -> None:
    """What has no form that could be wrong."""


JUDGES: dict[str, Callable[[Block], None]] = {
    "sh": shell, "bash": shell, "console": shell, "toml": toml, "json": json_text, "yaml": yaml_text, "ini": unit,
    "dockerfile": dockerfile, "nginx": nginx, "caddy": braces, "mermaid": anything, "text": anything, "": anything,
    "html": anything, "js": anything, "css": anything,
}  # fmt: skip


def scripts_that_do_not_parse(blocks: Iterable[tuple[str, str]]) -> list[str]:
    """Of pairs of a name and a text those that node refuses; as a module, and with `await` at the top."""
    node = shutil.which("node")
    assert node is not None
    check = """
const {SourceTextModule} = require("vm");
for (const [name, text] of JSON.parse(require("fs").readFileSync(0))) {
  try { new SourceTextModule(text); } catch (error) { console.log(name + ": " + error.message); }
}"""
    done = subprocess.run(
        [node, "--experimental-vm-modules", "--no-warnings", "-e", check],
        input=json.dumps(list(blocks)), capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return done.stdout.splitlines()
