"""Our expiring links are the ones that AWS' own library makes."""

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import SecretStr

from orchestration.presigned import SECONDS_MAX, Signer, content_disposition

AT = datetime(2026, 11, 24, 7, 0, 8, tzinfo=UTC)


class _AuthAt(S3SigV4QueryAuth):
    """AWS' signer with a clock that stands still."""

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = AT.strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        self._inject_signature_to_request(request, signature)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://bucket.s3.eu-west-1.amazonaws.com/recordings/x/recording.mp4", "show.mp4"),
        ("http://127.0.0.1:9000/bucket/a%20b/c%2Bd.mp4", 'Große "Show" 100%+1.mp4'),
    ],
)
def test_same_link_as_botocore(address: str, name: str):
    """Same address, time and name: same signature."""
    reference = AWSRequest(
        "GET", address, params={"response-content-disposition": content_disposition(name)}
    )
    keys = Credentials("AKIDEXAMPLE", "secret/of+nobody")
    _AuthAt(keys, "s3", "eu-west-1", expires=900).add_auth(reference)

    link = Signer("AKIDEXAMPLE", SecretStr("secret/of+nobody"), "eu-west-1").link(
        address, seconds=900, download_name=name, at=AT
    )

    assert set(link.split("?")[1].split("&")) == set(reference.url.split("?")[1].split("&"))


def test_links_live_no_longer_than_s3_allows():
    """A longer wish is cut instead of making a link that never works."""
    link = Signer("a", SecretStr("b"), "eu-west-1").link(
        "https://example.org/x", seconds=10**9, download_name="x"
    )

    assert f"X-Amz-Expires={SECONDS_MAX}" in link
