"""Secrets that would be recognised anywhere, and the search for them in everything that is left."""

import base64
import json
from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass
class Canaries:
    """Every secret of a run, by what it is."""

    planted: dict[str, str] = field(default_factory=dict)

    def plant(self, what: str, secret: str) -> str:
        """Remember a secret. Gives it back."""
        # A short one would be found by chance.
        assert len(secret) >= 6, f"{what} is too short to be searched for"
        self.planted[what] = secret
        return secret

    def seen_in(self, text: str | bytes) -> list[str]:
        """Name the secrets that can be read in a text, as they are or thinly disguised."""
        heap = text.encode() if isinstance(text, str) else text
        return sorted(
            what
            for what, secret in self.planted.items()
            if any(look in heap for look in _looks(secret))
        )


def _looks(secret: str) -> set[bytes]:
    """Say how a secret may look in a log, an address, JSON or an old-fashioned header."""
    encoded = base64.b64encode(secret.encode()).rstrip(b"=")
    # Within other bytes, base64 begins at any third of its alphabet's four characters.
    shifted = [base64.b64encode(b"x" * by + secret.encode())[4:-4] for by in (1, 2)]
    return {
        secret.encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        encoded,
        *(look for look in shifted if len(look) >= 8),
    }
