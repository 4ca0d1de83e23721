"""The kinds of value that several shapes share, and the two base models: asked and told."""

import re
import uuid
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

#: What no line of text holds, as the inside of a character class: controls (escape sequences,
#: line breaks), and what turns the direction of everything after it.
_LINE_CLASS: Final = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
#: The same, except for what makes paragraphs.
_TEXT_CLASS: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_NOT_IN_A_LINE: Final = re.compile(f"[{_LINE_CLASS}]")
_NOT_IN_A_TEXT: Final = re.compile(f"[{_TEXT_CLASS}]")
_ID: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
#: RFC 3339, which is narrower than ISO 8601 and than what pydantic takes.
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
#: Between these, arithmetic with a day or a year never leaves what a datetime can hold.
_YEAR_MIN: Final = 1970
_YEAR_MAX: Final = 9000
#: Longer than anybody's description, shorter than a body.
TEXT_CHARACTERS_MAX: Final = 10_000
#: What PostgreSQL's integer holds.
INT32_MAX: Final = 2_147_483_647


def published(pattern: str) -> Any:
    """Say in the API's description which texts a validator of ours takes."""
    return Field(json_schema_extra={"pattern": pattern})


class Asked(BaseModel):
    """A request's body: strict types, and nothing that the route does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Told(BaseModel):
    """An answer's data: every member is always there; one without a value is null."""

    model_config = ConfigDict(extra="forbid")


def is_id(text: str) -> bool:
    """Say whether a text is a UUID as RFC 9562 writes it: no braces, no bare digits, no URN."""
    return _ID.fullmatch(text) is not None


def _line(text: str) -> str:
    if _NOT_IN_A_LINE.search(text):
        raise PydanticCustomError("control_characters", "The text holds control characters")
    if text and not text.strip():
        raise PydanticCustomError("blank", "The text is blank")
    return text


def _text(text: str) -> str:
    if _NOT_IN_A_TEXT.search(text):
        raise PydanticCustomError("control_characters", "The text holds control characters")
    return text


def _moment(value: Any) -> Any:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise PydanticCustomError("date_time", "A time is RFC 3339, with its zone")
    # Nanoseconds are more than a database keeps.
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value).upper())
    except ValueError as error:
        raise PydanticCustomError("date_time", "There is no such time") from error


def _sane_year(moment: datetime) -> datetime:
    if not _YEAR_MIN < moment.year < _YEAR_MAX:
        raise PydanticCustomError("date_time", "The year is not one of a show")
    if moment.utcoffset() is None or abs(moment.utcoffset() or timedelta()) > timedelta(hours=18):
        raise PydanticCustomError("date_time", "A time is RFC 3339, with its zone")
    return moment


def _id(value: Any) -> Any:
    if isinstance(value, str) and not is_id(value):
        raise PydanticCustomError("uuid", "An id is a UUID, as 8-4-4-4-12 hexadecimal digits")
    return value


# The validators above say what is wrong in words; `published` says the same to the description.
_LINE: Final = published(f"^[^{_LINE_CLASS}]*[^{_LINE_CLASS}\\s][^{_LINE_CLASS}]*$")
_PARAGRAPHS: Final = published(f"^[^{_TEXT_CLASS}]*$")
_TIME: Final = published(
    "^(19[89][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3])"
    ":[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-7]):[0-5][0-9])$"
)

#: One line a person gives something as a name.
Title = Annotated[
    str, StringConstraints(min_length=3, max_length=255), AfterValidator(_line), _LINE
]
#: The same, where a single letter will do.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_line), _LINE]
#: Paragraphs a person writes.
Text = Annotated[
    str, StringConstraints(max_length=TEXT_CHARACTERS_MAX), AfterValidator(_text), _PARAGRAPHS
]
#: A secret or an address: one line that is never shown.
Line = Annotated[
    str, StringConstraints(min_length=1, max_length=2048), AfterValidator(_line), _LINE
]
#: A time in a request. What is published is a little narrower than what is taken.
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_sane_year), _TIME]
#: An id in a request.
Id = Annotated[uuid.UUID, BeforeValidator(_id)]
#: A whole number that a counter of ours may reach.
Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
AnyObject = dict[str, JsonValue]


#: A whole number in a query string; read as text, so not strict.
Digits = Annotated[int, Field(strict=False)]
_DIGITS: Final = re.compile("[0-9]{1,10}", re.ASCII)


class Query(BaseModel):
    """A query string: each parameter once, and nothing that the route does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _whole(cls, value: Any, info: ValidationInfo) -> Any:
        """Take digits for a number, and not all that int() takes."""
        assert info.field_name is not None, "a field's validator is told which"
        is_number = cls.model_fields[info.field_name].annotation is int
        if is_number and isinstance(value, str) and not _DIGITS.fullmatch(value):
            raise PydanticCustomError("int_parsing", "A whole number is written in digits")
        return value


#: So many rows behind the first that counting to them costs more than it is worth.
PAGE_MAX: Final = 1_000_000
#: The contract's.
LIMIT_MAX: Final = 100


class Page(Query):
    """Which part of a list is wanted."""

    page: Annotated[Digits, Field(ge=1, le=PAGE_MAX)] = Field(
        default=1, description="Which page, from 1 on."
    )
    limit: Annotated[Digits, Field(ge=1, le=LIMIT_MAX)] = Field(
        default=10, description="How many on a page."
    )

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit


class FieldError(Told):
    """What is wrong with one member of a body."""

    pointer: str = Field(description="JSON pointer to the member; empty is the whole body.")
    code: str
    message: str


class ErrorResponse(BaseModel):
    """A problem document (RFC 9457) that is the contract's error at the same time."""

    model_config = ConfigDict(extra="allow")

    success: Annotated[bool, WithJsonSchema({"type": "boolean", "const": False})]
    error: str = Field(description="The problem's slug.")
    message: str
    timestamp: Annotated[int, Field(json_schema_extra={"format": "int64"})]
    type: str = Field(description="Address of a page about this kind of problem.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The request's id, as in the log.")
    errors: list[FieldError] | None = Field(
        default=None, description="With 422: which members of the body are wrong."
    )
