"""JSON as strict as RFC 8259, whatever bytes are sent."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from api.bodies import DEPTH_MAX, DIGITS_MAX, parse, validated
from api.problems import CATALOGUE, Problem

#: Everything JSON can say that this API takes.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10 ** (DIGITS_MAX - 2)), 10 ** (DIGITS_MAX - 1))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_says_is_read(value: Any) -> None:
    """As the standard library reads it, but that 5.0 is the whole number 5."""
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.binary(max_size=200)
    | st.text(alphabet='[]{}":,\\eE+-.0123456789nulltruefa ').map(str.encode)
)
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"-" + b"9" * 60_000)
@example(b'"' + b"\\" * 60_000)
@example(b'["' + b"[" * 60_000 + b'"]')
@example(b"1e99999")
@example(b"\xed\xa0\x80")
@example(b'"\\ud800"')
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """With a line of the catalogue, and never in another way."""
    refusal = None
    try:
        parse(raw)
    except Problem as problem:
        refusal = problem

    assert refusal is None or CATALOGUE[refusal.slug].status in {400, 422}


@pytest.mark.parametrize("depth", [1, DEPTH_MAX, DEPTH_MAX + 1, 500])
def test_depth_is_counted_where_it_is(depth: int) -> None:
    """Brackets inside texts are no depth, and many beside each other are none either."""
    deep = b"[" * depth + b"]" * depth
    if depth > DEPTH_MAX:
        with pytest.raises(Problem, match="json-too-deep"):
            parse(deep)
    else:
        assert parse(deep) is not None

    assert parse(b'["' + b"[{" * depth + b'"]') == ["[{" * depth]
    assert parse(b'["\\"' + b"[" * depth + b'"]') == ['"' + "[" * depth]
    assert len(parse(b"[" + b"[],".join([b""] * depth) + b"[]]")) == depth


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5.0", 5),
        ("5e2", 500),
        ("-0.0", 0),
        ("0.5", 0.5),
        ("1e300", 1e300),
        ("7" * 100, int("7" * 100)),
    ],
)
def test_numbers_are_what_they_say(text: str, number: float) -> None:
    """A whole number is an int, however it is spelled, while a double can tell it."""
    found = parse(text.encode())

    assert found == number
    assert isinstance(found, int) == (isinstance(number, int))
    assert math.isfinite(found)


def test_an_error_points_without_repeating() -> None:
    """Pointers are RFC 6901's, and names in them are bounded and can be logged."""

    class Body(BaseModel):
        model_config = ConfigDict(extra="forbid")
        number: int = 0

    for sent, pointer in (
        ({"number": "secret"}, "/number"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"x" * 500: 1}, "/" + "x" * 100),
    ):
        with pytest.raises(Problem) as caught:
            validated(Body, sent)
        assert [error["pointer"] for error in caught.value.errors or ()] == [pointer]
        assert "secret" not in str(caught.value.errors)
