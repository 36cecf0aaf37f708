"""The law of the code: which way imports point, how large files are, what is public."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import hubbub
import hubbub.asgi
import hubbub.realtime

SOURCE = Path(hubbub.__file__).parent
PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = ["hubbub", *(m.name for m in pkgutil.walk_packages(hubbub.__path__, "hubbub.") if "__main__" not in m.name)]

# What each part of the package may import of it, beside its own folder.
COMMON = {"arguments", "errors", "extras", "limits", "lock", "logs", "native", "rounds", "supervision", "system"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "extras": set(),
    "system": {"errors"},
    "arguments": {"errors"},
    "limits": {"arguments", "errors"},
    "lock": {"logs"},
    "logs": set(),
    "native": {"errors"},
    "rounds": set(),
    "supervision": {"logs"},
    "wire": {"arguments", "errors", "native"},
    "brokers": {"arguments", "errors", "limits", "logs", "supervision", "system"},
    "testing": {"brokers", "errors"},
    "node": {"arguments", "brokers", "errors", "limits", "lock", "logs", "rounds", "supervision"},
    "hub": COMMON | {"wire", "brokers", "node"},
    "server": COMMON | {"wire", "hub"},
    "asgi": COMMON | {"wire", "hub", "server"},
    "realtime": COMMON | {"asgi", "brokers", "hub", "node", "server", "wire"},
    "api": {"arguments", "brokers", "errors", "extras", "logs", "realtime"},
    "standalone": COMMON | {"api", "asgi", "brokers", "hub", "realtime", "wire"},
    "load": {"errors", "extras", "logs", "system", "wire"},
    "demo": {"", "asgi", "extras", "realtime", "supervision"},
    "cli": COMMON | {"", "asgi", "brokers", "demo", "hub", "load", "realtime", "server", "standalone", "wire"},
    "__main__": {"errors", "cli"},
    "": {"api", "asgi", "brokers", "errors", "hub", "limits", "node", "realtime", "server", "wire"},
}
# What the bindings of compiled parts may import: `wire` chooses between twins, so they see only leaves of it.
ALLOWED_IN_BINDINGS = {"hubbub.errors", "hubbub.lock", "hubbub.wire.deflate", "hubbub.wire.received"}
BINDINGS_BELOW = {"_fanout": {"hubbub.native._codec"}, "_reactor": {"hubbub.native._codec", "hubbub.native._fanout"}}
IN_PROTOCOL = {"arguments", "errors", "limits"}  # and in the protocol of sessions, beside its own folder
NEVER_IN_WIRE = {"asyncio", "socket", "ssl", "time", "random", "secrets", "threading", "os", "logging", "select"}


def part(path: Path) -> str:
    inside = path.relative_to(SOURCE)
    return "" if inside.name == "__init__.py" and len(inside.parts) == 1 else inside.parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, by its full name; `from hubbub import native` counts as hubbub.native."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "hubbub":
                modules = {name.removeprefix("hubbub.") for name in MODULES}
                found |= {f"hubbub.{a.name}" if a.name in modules else "hubbub" for a in node.names}
            else:
                found.add(str(node.module))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = part(path)
    for name in imports(path):
        if name.partition(".")[0] == "hubbub":
            other = name.split(".")[1] if "." in name else ""
            assert other == own or other in ALLOWED[own], f"{path.name} imports {name}"


def test_the_page_tells_which_way_they_point() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*)\|$", PAGE.read_text(), re.MULTILINE)
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    told = {folder: set(re.findall(r"`(\w+)`", below)) for folder, below in rows}
    assert told == {folder: ALLOWED[folder] - COMMON - {""} for folder in folders}


def test_the_page_names_files_that_exist() -> None:
    named = re.findall(r"`(?:(\w+(?:/\w+)*)/)?(\w+\.(?:pyx|pxi|py|c))`", PAGE.read_text())
    assert named
    for folder, name in named:
        assert (
            any(SOURCE.glob(f"{folder}/{name}" if folder else f"**/{name}")) or (PAGE.parent / folder / name).exists()
        )


@pytest.mark.parametrize("path", sorted((SOURCE / "native").glob("*.pyx")), ids=lambda path: path.name)
def test_bindings_know_errors_and_leaves_only(path: Path) -> None:
    named = re.findall(r"^ *(?:from|import|cimport) +([\w.]+)", path.read_text(), re.MULTILINE)
    assert named
    below = BINDINGS_BELOW.get(path.stem, set())
    assert {name for name in named if name.partition(".")[0] == "hubbub"} <= ALLOWED_IN_BINDINGS | below


@pytest.mark.parametrize("name", sorted(ALLOWED_IN_BINDINGS))
def test_what_bindings_know_imports_errors_and_logs_at_most(name: str) -> None:
    path = SOURCE / (name.removeprefix("hubbub.").replace(".", "/") + ".py")
    assert {found for found in imports(path) if found.partition(".")[0] == "hubbub"} <= {"hubbub.errors", "hubbub.logs"}


@pytest.mark.parametrize("path", sorted((SOURCE / "native").glob("*.[ch]")), ids=lambda path: path.name)
def test_the_c_core_knows_no_python(path: Path) -> None:
    text = path.read_text()
    assert "Python.h" not in text
    assert len(text.splitlines()) < 500


@pytest.mark.parametrize("path", sorted((SOURCE / "wire").glob("*.py")), ids=lambda path: path.name)
def test_wire_knows_no_loops_sockets_clocks_or_chance(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & NEVER_IN_WIRE


@pytest.mark.parametrize("path", sorted((SOURCE / "realtime/protocol").glob("*.py")), ids=lambda path: path.name)
def test_the_protocol_of_sessions_knows_nothing_above_it_and_no_io(path: Path) -> None:
    for name in imports(path):
        package, *inner = name.split(".")
        assert package not in NEVER_IN_WIRE
        assert package != "hubbub" or inner[0] in IN_PROTOCOL or inner[:2] == ["realtime", "protocol"], name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or 0) - node.body[0].lineno
            assert size < 60, f"{path.name}: {node.name} has {size} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_file_says_what_it_is_and_what_it_offers(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert any(isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__" for n in tree.body)


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_offers_exists_and_is_said_once(name: str) -> None:
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    for item in module.__all__:
        assert hasattr(module, item)
        assert not item.startswith("_")


@pytest.mark.parametrize("module", [hubbub, hubbub.asgi, hubbub.realtime])
def test_everything_public_has_a_docstring(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]
        item = getattr(module, name)
        assert item.__doc__, name
        for inner, member in vars(item).items():
            if not inner.startswith("_") and callable(member):
                assert member.__doc__ or getattr(item.__mro__[1], inner, None), f"{name}.{inner}"


def test_the_package_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()
