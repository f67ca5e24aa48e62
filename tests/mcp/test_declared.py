"""Whatever a server declares, the model gets a schema that is valid, small and free of references."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent_kernel.mcp.declared import declared, tidy, tool_name
from agent_kernel.mcp.tools import ranked

KEYWORDS = (
    "type properties required items enum $ref $defs anyOf allOf oneOf minimum pattern additionalProperties "
    "description default const object string # #/$defs/a a not"
)
WORDS = st.sampled_from(KEYWORDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=30,
)


def tool(name: str, **said: Any) -> Any:
    base: dict[str, Any] = {
        "description": None,
        "title": None,
        "annotations": None,
        "input_schema": {},
        "output_schema": None,
    }
    return SimpleNamespace(name=name, **{**base, **said})


@given(JSON)
def test_any_json_becomes_a_valid_object_schema_without_references(value: Any) -> None:
    schema = tidy(value)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    text = json.dumps(schema, allow_nan=False)
    assert '"$ref":' not in text.replace('"properties": {"$ref"', "")
    Draft202012Validator(schema).is_valid({"a": [1, "x", None]})


def test_what_a_good_schema_says_is_kept() -> None:
    schema = {
        "type": "object",
        "$defs": {"size": {"type": "integer", "minimum": 1, "title": "Size"}},
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"], "description": "Which.", "pattern": "^[ab]$"},
            "sizes": {"type": "array", "items": {"$ref": "#/$defs/size"}, "minItems": 1},
            "either": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }
    assert tidy(schema) == {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"], "description": "Which. (matches ^[ab]$)"},
            "sizes": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "description": "Size"},
                "minItems": 1,
            },
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }


def test_a_schema_of_a_million_parts_becomes_a_small_one() -> None:
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(100_000)}}
    deep: Any = {"type": "string"}
    for _ in range(500):
        deep = {"type": "object", "properties": {"x": deep}}
    for schema in (wide, deep):
        assert len(json.dumps(tidy(schema))) < 100_000


def test_names_are_distinct_and_fit_the_endpoint() -> None:
    names = ["a b", "a_b", "ä" * 150, "x" * 120, "x" * 121, "ok", "\x1b[31m", "", "y" * 300]
    found = list(declared("srv", [tool(name) for name in names]))
    assert len(found) == 6, "names that cannot be shown are left out"
    assert len({one.name for one in found}) == 6
    assert all(len(one.name) <= 64 and one.name.startswith("mcp__srv__") for one in found)
    assert tool_name("srv", "ok", set()) == "mcp__srv__ok"


def test_hints_count_only_when_they_are_clear() -> None:
    def reads(**hints: Any) -> bool:
        said = {"read_only_hint": None, "destructive_hint": None, "title": None}
        return next(
            iter(declared("s", [tool("t", annotations=SimpleNamespace(**{**said, **hints}))]))
        ).read_only

    assert reads(read_only_hint=True)
    assert not reads()
    assert not reads(read_only_hint=True, destructive_hint=True)
    assert not next(iter(declared("s", [tool("t")]))).read_only


def test_descriptions_are_cut_and_cleaned() -> None:
    (one,) = declared("s", [tool("t", description="\x1b[31mred\x07" + "x" * 10_000)])
    assert one.description.startswith("[s] red")
    assert len(one.description) < 1_300


def test_property_names_no_endpoint_takes_keep_a_tool_out_of_the_prefix() -> None:
    good, bad = declared(
        "s",
        [
            tool("good", input_schema={"properties": {"a": {}}}),
            tool("bad", input_schema={"properties": {"a b": {}}}),
        ],
    )
    assert good.fits
    assert not bad.fits


def test_the_search_finds_by_name_first_and_by_words() -> None:
    found = list(
        declared(
            "hub",
            [
                tool("create_issue", description="Open a new ticket."),
                tool("listIssues", description="All tickets."),
                tool("delete_repository", description="Remove it, with all its issues."),
                tool("unrelated", description="Nothing of the kind."),
            ],
        )
    )
    assert ranked(found, "create an issue")[0].tool == "create_issue"
    assert [one.tool for one in ranked(found, "ISSUES")] == [
        "create_issue",
        "listIssues",
        "delete_repository",
    ]
    assert ranked(found, "xyzzy") == []
