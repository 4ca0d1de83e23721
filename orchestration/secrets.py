"""The local secret, and the keys that are derived from it."""

import base64
import hashlib
import os
import secrets as chance
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from observability.redaction import remember_secret
from orchestration.settings import Settings

#: Fewer characters can be guessed by trying.
SECRET_CHARACTERS_MIN: Final = 32


class SecretMissing(Exception):
    """GREENROOM_JWT_SECRET is needed and not set, or too short to protect anything."""


@dataclass(frozen=True, repr=False)
class Secrets:
    """One key per purpose, so that a token can never be passed off as a link or a mark."""

    jwt_key: bytes  #: HS256 key of API tokens
    mark_key: bytes  #: keyed blake2b of viewer marks, 32 bytes
    link_key: bytes  #: HMAC key of download links
    _fernet: Fernet  #: seals stream keys at rest

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Read the secret; with SQLite, make it once in a 0600 file beside the database.

        Raises SecretMissing when it must be set by the operator.
        """
        if settings.jwt_secret is not None:
            text = settings.jwt_secret.get_secret_value()
        elif settings.is_sqlite:
            text = _local_secret(_secret_path(settings))
        else:
            raise SecretMissing(
                "GREENROOM_JWT_SECRET must be set with PostgreSQL: every process needs the same one"
            )
        return cls.derive(text)

    @classmethod
    def derive(cls, text: str) -> Self:
        """Derive every key from one secret (RFC 5869). Raises SecretMissing when it is short."""
        if len(text) < SECRET_CHARACTERS_MIN:
            raise SecretMissing(
                f"GREENROOM_JWT_SECRET has {len(text)} characters; "
                f"{SECRET_CHARACTERS_MIN} are the least"
            )
        seal_key = base64.urlsafe_b64encode(_derived(text, b"seal"))
        return cls(
            # The JWT key is the secret itself: a team's own login may mint tokens with it.
            jwt_key=text.encode(),
            mark_key=_derived(text, b"mark"),
            link_key=_derived(text, b"link"),
            _fernet=Fernet(seal_key),
        )

    def seal(self, text: str) -> str:
        """Encrypt a secret for the ledger; from now on no log line shows it."""
        remember_secret(text)
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str | None) -> str | None:
        """Decrypt it; None when there is none, or the local secret has changed since."""
        if sealed is None:
            return None
        try:
            text = self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None
        remember_secret(text)
        return text


def new_secret(prefix: str) -> str:
    """Make a secret of 256 bits that can be recognised by its prefix, e.g. `grk_`."""
    return f"{prefix}{chance.token_urlsafe(32)}"


def sha256_of(text: str) -> str:
    """Hash a secret of ours for storing: it is chance enough not to need a slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def _derived(text: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"greenroom " + purpose).derive(text.encode())


def _secret_path(settings: Settings) -> Path:
    return Path(settings.database_url.split("///", 1)[-1]).absolute().with_suffix(".secret")


def _local_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_suffix(f".secret.{os.getpid()}.{chance.token_hex(4)}")
    mine.touch(mode=0o600)
    mine.write_text(chance.token_urlsafe(48))
    try:
        # A hard link is all or nothing: of two processes that start together, one wins.
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    return path.read_text().strip()
