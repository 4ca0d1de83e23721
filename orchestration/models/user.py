"""A user: a host or a viewer of one organization."""

import uuid

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from orchestration.models.columns import Named, new_id


class User(Named, table=True):
    """A person who may log in, or a viewer who only gave a name."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("organization_id", "email"),)

    organization_id: uuid.UUID = Field(foreign_key="organizations.id", index=True)
    #: The id that the organization's own systems know the user by.
    external_user_id: uuid.UUID = Field(default_factory=new_id)
    #: NULL for viewers who only gave a name; lower case.
    email: str | None = Field(default=None, max_length=320, index=True)
    username: str = Field(max_length=255)
    #: host | viewer
    role: str = Field(max_length=16)
    is_active: bool = True
    #: argon2id; NULL for users without a password.
    password_hash: str | None = Field(default=None, max_length=255)
    #: `iss` and `sub` of a JWKS issuer's user, as "iss|sub".
    subject: str | None = Field(default=None, max_length=512, unique=True)
