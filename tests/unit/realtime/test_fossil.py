"""Patches in Fossil's format."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.realtime.fossil import MOST_STEPS, apply, create

WORDS = ["alpha", "größe ", "😀", "gamma" * 9, '{"id":', "\n"]
texts = st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
edits = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 80), texts), max_size=4)


def edited(text: str, changes: list[tuple[int, int, str]]) -> str:
    for at, cut, put in changes:
        text = text[:at] + put + text[at + cut :]
    return text


@given(texts, edits)
def test_a_patch_makes_the_target_and_is_a_text(source: str, changes: list[tuple[int, int, str]]) -> None:
    target = edited(source, changes)
    patch = create(source.encode(), target.encode())
    assert apply(source.encode(), patch) == target.encode()
    patch.decode()


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_can_be_patched(source: bytes, target: bytes) -> None:
    assert apply(source, create(source, target)) == target
    assert apply(source, create(source, source + target + source)) == source + target + source


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_any_bytes_are_a_patch_or_an_error(source: bytes, patch: bytes) -> None:
    with contextlib.suppress(ValueError):
        apply(source, patch)


@pytest.mark.parametrize(
    ("source", "target", "patch"),
    [
        (b"", b"", b"0\n0;"),
        (b"", b"\0\0\0A", b"4\n4:\0\0\0A11;"),  # 65 is 1 * 64 + 1
        (b"", b"\0\0\0\1\0\0\0\2\0\1", b"A\nA:\0\0\0\1\0\0\0\2\0\1G03;"),  # 3 + 65536
        (b"\0\0\0\5\0", b"\0\0\0\5\0", b"5\n5@0,5;"),
    ],
)
def test_patches_as_the_format_is_described(source: bytes, target: bytes, patch: bytes) -> None:
    assert create(source, target) == patch
    assert apply(source, patch) == target


def test_commands_as_the_format_is_described() -> None:
    assert create(b"one two three", b"one 2 three").startswith(b"B\n4@0,1:26@7,")


def test_what_moved_is_copied() -> None:
    first, second = bytes(range(33, 97)), bytes(range(97, 127)) * 3
    patch = create(first + second, second + first)
    assert len(patch) < 40
    assert apply(first + second, patch) == second + first


def test_a_small_change_in_a_large_text_is_a_small_patch() -> None:
    source = json.dumps([random.Random(1).random() for _ in range(10_000)]).encode()
    target = source.replace(source[100_000:100_010], b"x", 1)
    assert len(create(source, target)) < 40


def test_what_is_too_much_to_be_searched_is_inserted() -> None:
    chance = random.Random(1)
    source, target = chance.randbytes(200_000), chance.randbytes(MOST_STEPS)
    found_late = target + source[50_000:60_000] + b"!"
    patch = create(source, found_late)
    assert len(patch) > len(found_late)
    assert apply(source, patch) == found_late


@pytest.mark.parametrize(
    "patch",
    [
        b"",
        b"2",
        b"2\n",
        b"2\n2:ab",
        b"2\n2:ab0;",
        b"2\n2:a",
        b"3\n3@4,0;",
        b"3\n3@0;0;",
        b"3\n3!0,0;",
        b"~~~~~~\n0;",
        b"1\n3@0,3@0,0;",
        b"3\n3@0,0;0;",
    ],
)
def test_what_is_no_patch_of_this_source(patch: bytes) -> None:
    with pytest.raises(ValueError):
        apply(b"abcdef", patch)


def test_the_npm_package_understands_our_patches(tmp_path: Path) -> None:
    npm = Path(__file__).parents[3] / ".cache/npm"
    if not shutil.which("node") or not (npm / "node_modules/fossil-delta").exists():
        pytest.skip("needs node, and: npm install --prefix .cache/npm fossil-delta")
    chance, cases = random.Random(2), []
    for _ in range(500):
        source = "".join(chance.choices(WORDS, k=chance.randrange(50)))
        changes = [(chance.randrange(300), chance.randrange(60), chance.choice(WORDS)) for _ in range(3)]
        both = source.encode(), edited(source, changes).encode()
        cases.append([base64.b64encode(part).decode() for part in (*both, create(*both))])
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    script = """
        const {applyDelta} = require(process.argv[1] + "/node_modules/fossil-delta")
        const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"))
        const cases = JSON.parse(require("fs").readFileSync(process.argv[2]))
        for (const [source, target, patch] of cases)
            if (Buffer.from(applyDelta(bytes(source), bytes(patch))).toString("base64") !== target) process.exit(1)
    """
    asked = ["node", "-e", script, str(npm), str(tmp_path / "cases.json")]
    subprocess.run(asked, check=True, timeout=30)
