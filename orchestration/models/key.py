"""What opens the door, hashed: API keys, refresh tokens, device tokens, one-time codes."""

import uuid
from datetime import datetime

from sqlmodel import Field

from orchestration.database import UtcDateTime
from orchestration.models.columns import Named


class ApiKey(Named, table=True):
    """A key for machines: `grk_<prefix>_<secret>`, shown once."""

    __tablename__ = "api_keys"

    user_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    name: str = Field(max_length=255)
    #: The part that may be shown and is looked up by.
    prefix: str = Field(max_length=32, unique=True)
    #: SHA-256 of the whole key: 256 bits of chance need no slow hash.
    key_hash: str = Field(max_length=64)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RefreshToken(Named, table=True):
    """A refresh token, good for one use; using it twice revokes its family."""

    __tablename__ = "refresh_tokens"

    user_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    #: All tokens that descend from one login.
    family_id: uuid.UUID = Field(index=True)
    token_hash: str = Field(max_length=64, unique=True)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DeviceToken(Named, table=True):
    """A viewer's device, so that the viewer need not give the name again."""

    __tablename__ = "device_tokens"

    user_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    token_hash: str = Field(max_length=64, unique=True)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AuthCode(Named, table=True):
    """A one-time code that carries a login from one device to another."""

    __tablename__ = "auth_codes"

    user_id: uuid.UUID = Field(foreign_key="users.id", index=True)
    session_id: uuid.UUID = Field(foreign_key="sessions.id")
    code_hash: str = Field(max_length=64, unique=True)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
