"""Whether mypy and pyright find the mistakes that programs make with hubbub: `python tools/mistakes.py`.

Each line of tests/typed/wrong.py that says `# wrong` has to be an error to both of them, and no other line of that
folder to either.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "typed"

Line = tuple[str, int]


def main() -> None:
    wrong = {
        (path.name, number)
        for path in FOLDER.glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "  # wrong" in line
    }
    complaints = [
        f"{name} {verb} {file}:{number}"
        for name, found in (("mypy", by_mypy()), ("pyright", by_pyright()))
        for verb, lines in (("does not find", wrong - found), ("finds", found - wrong))
        for file, number in sorted(lines)
    ]
    if complaints:
        sys.exit("\n".join(complaints))
    print(f"mypy and pyright find all {len(wrong)} mistakes")


def by_mypy() -> set[Line]:
    done = run("mypy", "--no-error-summary", "--hide-error-context", *map(str, sorted(FOLDER.glob("*.py"))))
    return {(Path(file).name, int(number)) for file, number in re.findall(r"^(\S+?):(\d+): error", done, re.MULTILINE)}


def by_pyright() -> set[Line]:
    found = json.loads(run("pyright", "--outputjson", str(FOLDER)))["generalDiagnostics"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found if one["severity"] == "error"}


def run(command: str, *arguments: str) -> str:
    path = Path(sys.executable).parent / command
    return subprocess.run([str(path), *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    main()
