"""Files of both forms: what cannot be read is told with its line, and every key is found in its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub import Misuse
from hubbub.standalone.sources import Place, read

TOML = """\
title = "x" # 1
client.insecure = true # 2

[http_api] # 4
key = \"\"\"
not_a_key = 1
\"\"\" # 7
names = [
  "one",
  "two", # 10
]
[[channel.namespaces]] # 12
name = "a"

[[channel.namespaces]] # 15
name = "b"
inline = { first = 1, second = 2 } # 17
"""

JSON = """\
{
  "title": "x",
  "client": {"insecure": true,
    "quoted \\" name": [1,
      {"deep": null}]},
  "channel": {
    "namespaces": [
      {"name": "a"},
      {
        "name": "b"
      }
    ]
  }
}
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 1),
        (("client", "insecure"), 2),
        (("http_api",), 4),
        (("http_api", "key"), 5),
        (("http_api", "names"), 8),
        (("channel", "namespaces", 0, "name"), 13),
        (("channel", "namespaces", 1), 15),
        (("channel", "namespaces", 1, "name"), 16),
        (("channel", "namespaces", 1, "inline", "second"), 17),
        (("channel", "namespaces", 1, "nothing"), 15),
        (("nothing",), 0),
    ],
)
def test_keys_of_toml_are_found_in_their_lines(tmp_path: Path, place: Place, line: int) -> None:
    path = tmp_path / "x.toml"
    path.write_text(TOML)
    assert read(path).line(place) == line


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 2),
        (("client",), 3),
        (("client", "insecure"), 3),
        (("client", 'quoted " name'), 4),
        (("client", 'quoted " name', 1, "deep"), 5),
        (("channel", "namespaces"), 7),
        (("channel", "namespaces", 0, "name"), 8),
        (("channel", "namespaces", 1), 9),
        (("channel", "namespaces", 1, "name"), 10),
        (("channel", "namespaces", 1, "nothing"), 9),
        (("nothing",), 0),
    ],
)
def test_keys_of_json_are_found_in_their_lines(tmp_path: Path, place: Place, line: int) -> None:
    path = tmp_path / "x.json"
    path.write_text(JSON)
    assert read(path).line(place) == line


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text('ab",:[]{}\\\n', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab",:[]{}\\\n', max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(data=st.dictionaries(st.text("ab", max_size=3), VALUES, max_size=4), indent=st.sampled_from([None, 0, 1]))
def test_all_places_of_any_json_are_found(data: dict[str, Any], indent: int | None) -> None:
    import json

    from hubbub.standalone.sources import _lines_of_json

    def places(value: Any, at: Place) -> Any:
        several = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, inner in several:
            yield (*at, step)
            yield from places(inner, (*at, step))

    text = json.dumps(data, indent=indent)
    found = list(_lines_of_json(text))
    assert [place for place, _ in found] == list(places(data, ()))
    assert [line for _, line in found] == sorted(line for _, line in found)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("x.toml", "a = 1\nb = ", "x.toml:2: no TOML: invalid value"),
        ("x.toml", "a = 1\na = 2", "x.toml:2: no TOML: cannot overwrite a value"),
        ("x.toml", "a = {", "x.toml"),
        ("x.json", '{"a": 1,\n "b": }', "x.json:2: no JSON: expecting value"),
        ("x.json", '{"a": 1,\n "a": 2}', "x.json:2: 'a' stands there twice"),
        ("x.json", "[]", "x.json: a configuration is an object, not []"),
        ("x.json", '{"a": NaN}', "x.json: no JSON: NaN is no number"),
        ("x.json", "[" * 100_000, "no JSON"),
        ("x.yaml", "a: 1", "YAML is not read here"),
        ("x.toml", "#" * 1_100_000, "is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_of_its_form(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Misuse) as caught:
        read(path)
    assert complaint in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="No such file"):
        read(tmp_path / "nothing.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(Misuse, match="not UTF-8"):
        read(tmp_path / "x.toml")


def test_json_is_known_by_its_first_character_too(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text('\ufeff{"client": {"insecure": true}}')
    assert read(path).data == {"client": {"insecure": True}}
