"""Links to an S3 object that expire and name the file they download (Signature Version 4)."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

#: S3 refuses links that live longer than a week.
SECONDS_MAX = 7 * 86_400

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Signer:
    """What signs: obstore signs links too, but only bare ones, without the name of the download."""

    access_key: str
    secret_key: SecretStr
    region: str

    def link(
        self, object_url: str, *, seconds: int, download_name: str, at: datetime | None = None
    ) -> str:
        """Sign a GET of this address, to be saved under this name, for this long from `at`."""
        when = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{when[:8]}/{self.region}/s3/aws4_request"
        query = _joined(
            {
                "X-Amz-Algorithm": _ALGORITHM,
                "X-Amz-Credential": f"{self.access_key}/{scope}",
                "X-Amz-Date": when,
                "X-Amz-Expires": str(max(1, min(seconds, SECONDS_MAX))),
                "X-Amz-SignedHeaders": "host",
                "response-content-disposition": content_disposition(download_name),
            }
        )
        parts = urlsplit(object_url)
        request = f"GET\n{parts.path}\n{query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        to_sign = f"{_ALGORITHM}\n{when}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = reduce(_hmac, scope.split("/"), b"AWS4" + self.secret_key.get_secret_value().encode())
        return f"{object_url}?{query}&X-Amz-Signature={_hmac(key, to_sign).hex()}"


def content_disposition(download_name: str) -> str:
    """Say `save this as`, also for names that are not ASCII (RFC 6266)."""
    return f"attachment; filename*=UTF-8''{quote(download_name, safe='')}"


def _joined(query: dict[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
