"""A tick: one line of the schedule, claimed by one worker of all."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from orchestration.database import UtcDateTime


class Tick(SQLModel, table=True):
    """When a line of EVERY is due next, and who has it in hand."""

    __tablename__ = "ticks"

    name: str = Field(primary_key=True, max_length=64)
    due_at: datetime = Field(sa_type=UtcDateTime)
    lease_owner: str | None = Field(default=None, max_length=64)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
