"""A seen webhook: LiveKit's event ids, so that a replay has no effect."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from orchestration.database import UtcDateTime


class SeenWebhook(SQLModel, table=True):
    """Kept for a day; the body is never stored, it carries stream keys."""

    __tablename__ = "seen_webhooks"

    event_id: str = Field(primary_key=True, max_length=64)
    event: str = Field(max_length=64)
    seen_at: datetime = Field(sa_type=UtcDateTime, index=True)
