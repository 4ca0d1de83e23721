"""The kinds of column that several tables share."""

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Dialect, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from typing_extensions import override

from orchestration.database import UtcDateTime

#: JSON that PostgreSQL can index and SQLite can hold.
AnyJson: Any = JSON().with_variant(JSONB(), "postgresql")


class Word(TypeDecorator[StrEnum]):
    """One of a closed set of words, stored as text, so that a new word needs no migration."""

    impl = String(32)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    @override
    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else str(self.words(value))

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        del dialect
        return None if value is None else self.words(value)


def new_id() -> uuid.UUID:
    return uuid.uuid4()


def utc_now() -> datetime:
    return datetime.now(UTC)


class Named(SQLModel):
    """A row with an id of ours and the times of its making and last change."""

    id: uuid.UUID = Field(default_factory=new_id, primary_key=True)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Duty(SQLModel):
    """What somebody must look at again, and who may: see leases.py."""

    #: When to look at it next; NULL is never.
    look_at: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)
    #: Who looks at it now (a worker's name), until when.
    lease_owner: str | None = Field(default=None, max_length=64)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    #: Counts claims; every write of a claim names its epoch, so that a late one changes nothing.
    epoch: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: Claims since the last orderly save: what kills its worker is counted here.
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: Counts what happened to it from outside: a wish or a hint that came while it was looked at.
    nudges: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: Retryable failures in a row: the back-off grows with it.
    failures: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: Since when nobody looks any more, because it killed its worker too often.
    quarantined_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
