"""Write an event: the change and its number in the transaction that made the change."""

from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from orchestration.models import Event, Session


async def record(tx: AsyncSession, session: Session, kind: str, /, **facts: Any) -> Event:
    """Write the next event of a session whose row this transaction has locked.

    Facts are JSON: strings, numbers, booleans, None; never a secret.
    """
    context = structlog.contextvars.get_contextvars()
    session.event_seq += 1
    session.version += 1
    event = Event(
        organization_id=session.organization_id,
        session_id=session.id,
        seq=session.event_seq,
        kind=kind,
        facts=facts,
        request_id=context.get("request_id"),
        job_id=_uuid(context.get("job_id")),
    )
    tx.add(event)
    return event


def _uuid(value: object) -> UUID | None:
    return UUID(str(value)) if value else None
