"""What pyproject.toml cannot say: the compiled parts, which are left out where nothing can compile them.

Environment:
    HUBBUB_NATIVE: 0 leaves them out, 1 makes it an error if they cannot be built.
    HUBBUB_WERROR: 1 makes compiler warnings, and every failure to build, errors: for those who work on them.
    HUBBUB_SANITIZE: what to build them with for tests, as in -fsanitize: `address,undefined`.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

NATIVE = "src/hubbub/native"
EXTENSIONS = {  # the binding, and the C sources that are linked into it
    "_codec": ["utf8.c", "codec.c", "head.c", "accept.c"],
    "_fanout": [
        f"{name}.c"
        for name in ("frame", "counts", "backlog", "outlet", "notices", "poller", "shard", "batch", "turn", "writers")
    ],
    "_reactor": [],
}
FLAGS = ["-std=gnu11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra"]
if sys.platform == "linux":
    FLAGS.append("-fno-plt")  # of ELF
else:
    del EXTENSIONS["_fanout"], EXTENSIONS["_reactor"]  # they are made of epoll and eventfd
GENERATED = ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]  # what Cython's own output is full of
PROBE = "#include <Python.h>\nPyMODINIT_FUNC PyInit_probe(void) { return NULL; }\n"


def obstacle() -> str:
    """Why nothing can be compiled here; empty if it can, which is found out by doing it."""
    if sys.implementation.name != "cpython" or sys.platform == "win32":
        return f"it is not made for {sys.implementation.name} on {sys.platform}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(PROBE)
        build = build_ext(Distribution({"ext_modules": [Extension("probe", [str(source)])]}))
        build.build_lib = build.build_temp = folder
        try:
            build.ensure_finalized()
            build.run()
        except (BaseError, CCompilerError, OSError) as error:
            return f"a C compiler and Python's headers are needed, and a small program did not compile: {error}"
    return ""


def extensions() -> list[Extension]:
    """The compiled parts to build."""
    from Cython.Build import cythonize

    strict = "1" in (os.environ.get("HUBBUB_NATIVE"), os.environ.get("HUBBUB_WERROR"))
    flags = FLAGS + GENERATED
    link: list[str] = []
    if os.environ.get("HUBBUB_WERROR") == "1":
        flags.append("-Werror")
    if sanitizers := os.environ.get("HUBBUB_SANITIZE"):
        link = [f"-fsanitize={sanitizers}"]
        flags += [*link, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
    headers = [str(path) for path in sorted(Path(NATIVE).glob("*.h"))]
    return cythonize(
        [
            Extension(
                f"hubbub.native.{name}",
                [f"{NATIVE}/{name}.pyx", *(f"{NATIVE}/{source}" for source in sources)],
                include_dirs=[NATIVE],
                depends=headers,
                extra_compile_args=flags,
                extra_link_args=link,
                optional=not strict,
            )
            for name, sources in EXTENSIONS.items()
        ],
        build_dir="build/cython",
    )


def chosen() -> list[Extension]:
    """The compiled parts, or none of them, and never in silence."""
    wish = os.environ.get("HUBBUB_NATIVE", "")
    reason = "HUBBUB_NATIVE=0 says so" if wish == "0" else obstacle()
    if not reason:
        return extensions()
    if wish == "1":
        raise SystemExit(f"hubbub: HUBBUB_NATIVE=1 demands the compiled part, and {reason}")
    print(f"hubbub: installing without the compiled part, for {reason}", file=sys.stderr)
    print("hubbub: everything works on pure Python, only slower; `hubbub doctor` says so too.", file=sys.stderr)
    return []


def described() -> str:
    """The README, as it reads where there is no repository around it: with links that lead there, without comments."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    home = project["urls"]["Repository"]
    text = re.sub(r"<!--.*?-->\n*", "", Path("README.md").read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"(!\[[^\]]*\]\()(?!\w+:|#)", rf"\g<1>{home}/raw/main/", text)
    return re.sub(r"(?<!!)(\[[^\[\]]+\]\()(?!\w+:|#)", rf"\g<1>{home}/blob/main/", text)


setup(ext_modules=chosen(), long_description=described(), long_description_content_type="text/markdown")
