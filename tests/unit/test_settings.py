"""Settings as people write them into an environment."""

import pytest
from pydantic import ValidationError

from orchestration.settings import Settings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("/", ""),
        ("/v1/webinar", "/v1/webinar"),
        ("/v1/webinar/", "/v1/webinar"),
        ("v1/webinar", "/v1/webinar"),
    ],
)
def test_a_base_path_is_one_path_however_it_is_written(written: str, meant: str) -> None:
    """Links and routes are made from it, and a second slash is another path."""
    settings = Settings(base_path=written, public_url="https://live.example/")

    assert settings.base_path == meant
    assert settings.hls_base == f"https://live.example{meant}/hls"


def test_a_segment_fits_into_its_target() -> None:
    """Else every playlist breaks RFC 8216, and shows look stalled between two segments."""
    assert Settings(segment_seconds=4, target_seconds=4).target_seconds == 4

    with pytest.raises(ValidationError, match="GREENROOM_SEGMENT_SECONDS"):
        Settings(segment_seconds=6)
