"""Forget what is of no use to anybody any more."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete

from orchestration.database import now
from orchestration.models import AuthCode, IdempotencyKey, RefreshToken, SeenWebhook
from orchestration.resources import Resources

#: LiveKit gives up on a webhook within a minute; a replay of an older one fails its signature.
WEBHOOK_DAYS: Final = 1
#: A refresh token that was used twice must still be recognised for a while.
TOKEN_DAYS: Final = 7


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
