"""The first organization, user and key: make what is missing, so that somebody can come in."""

import re
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import auth
from orchestration.models import ApiKey, Organization, User
from orchestration.resources import Resources
from orchestration.secrets import sha256_of

#: What `greenroom token` can make.
ROLES: Final = ("host", "viewer", "api-key")


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    role: str  #: one of ROLES
    organization: str
    user: str | None = None  #: by default the role's own
    email: str | None = None
    password: str | None = None
    seconds: int = 12 * 3600


async def token(resources: Resources, wish: Wish) -> str:
    """Give a token or API key for a user of the organization; both are made if they are missing.

    Tokens are minted anew each time. An API key is made anew each time, too: the old one is only
    known to whoever wrote it down, and stays valid.
    """
    async with resources.db.begin() as tx:
        organization = await _organization(tx, wish.organization)
        user = await _user(tx, organization, wish)
        if wish.role == "api-key":
            return await _key(tx, user)
    return auth.mint_access_token(resources.settings, resources.secrets, user, seconds=wish.seconds)


async def _organization(tx: AsyncSession, name: str) -> Organization:
    known = await tx.execute(select(Organization).where(col(Organization.name) == name))
    found = known.scalar_one_or_none()
    if found is None:
        found = Organization(name=name)
        tx.add(found)
        await tx.flush()
    return found


async def _user(tx: AsyncSession, organization: Organization, wish: Wish) -> User:
    """Find the user by e-mail, or make it; a password that is given replaces the old one."""
    role = "viewer" if wish.role == "viewer" else "host"
    name = wish.user or role
    # Hosts have an e-mail address in every answer, so that one is made up for those without.
    email = (wish.email or f"{_word(name)}@{_word(organization.name)}.example.com").lower()
    known = await tx.execute(
        select(User).where(col(User.organization_id) == organization.id, col(User.email) == email)
    )
    found = known.scalar_one_or_none()
    if found is None:
        found = User(organization_id=organization.id, email=email, username=name, role=role)
        tx.add(found)
    elif found.role != role:
        raise ValueError(f"{email} is a {found.role} there, not a {role}: name another user")
    if wish.password is not None:
        found.password_hash = PasswordHasher().hash(wish.password)
    await tx.flush()
    return found


async def _key(tx: AsyncSession, user: User) -> str:
    key, prefix = auth.new_api_key()
    tx.add(
        ApiKey(
            user_id=user.id, name="made on the command line", prefix=prefix, key_hash=sha256_of(key)
        )
    )
    await tx.flush()
    return key


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
