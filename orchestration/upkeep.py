"""Forget what is of no use to anybody any more, and mend what a clock that jumped left behind."""

from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy import delete, update

from orchestration.database import now
from orchestration.due import TABLES
from orchestration.leases import AHEAD_MAX
from orchestration.models import AuthCode, IdempotencyKey, RefreshToken, SeenWebhook, Session
from orchestration.resources import Resources
from orchestration.states import Phase

log = structlog.get_logger(__name__)

#: LiveKit gives up on a webhook within a minute; a replay of an older one fails its signature.
WEBHOOK_DAYS: Final = 1
#: A refresh token that was used twice must still be recognised for a while.
TOKEN_DAYS: Final = 7


async def rewind(resources: Resources) -> int:
    """Free, and make due, what can only lie so far ahead because the clock went back; how many.

    Without it shows would wait, and playlists stand still, for as long as the clock was ahead.
    """
    count = 0
    async with resources.db.begin() as tx:
        moment = await now(tx)
        for table in TABLES.values():
            columns: Any = table  # SQLModel types columns as values
            is_ahead = columns.look_at > moment + AHEAD_MAX
            if table is Session:
                # One that is only announced is looked at when its time has come, days ahead.
                is_ahead &= columns.phase != Phase.SCHEDULED
            for wrong, values in (
                (columns.lease_until > moment + AHEAD_MAX, {"lease_until": moment}),
                (is_ahead, {"look_at": moment}),
            ):
                mended = await tx.execute(
                    update(table)
                    .where(wrong)
                    .values(**values)
                    .execution_options(synchronize_session=False)
                )
                count += mended.rowcount  # type: ignore[attr-defined]  # an UPDATE answers a cursor result
    if count:
        log.warning("clock_went_back", rows=count)
    return count


async def prune(resources: Resources) -> None:
    """Delete expired idempotency keys, seen webhooks, old tokens and codes."""
    key: Any = IdempotencyKey  # SQLModel types columns as values
    webhook: Any = SeenWebhook
    token: Any = RefreshToken
    code: Any = AuthCode
    async with resources.db.begin() as tx:
        moment = await now(tx)
        old = moment - timedelta(days=TOKEN_DAYS)
        for table, is_old in (
            (IdempotencyKey, key.expires_at < moment),
            (SeenWebhook, webhook.seen_at < moment - timedelta(days=WEBHOOK_DAYS)),
            (RefreshToken, token.expires_at < old),
            (AuthCode, code.expires_at < old),
        ):
            await tx.execute(delete(table).where(is_old))
