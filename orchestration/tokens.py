"""Say what each role may do in the LiveKit room, as the preset allows: GRANTS."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from orchestration.livekit import BadSignature, Grants, mint_token, read_webhook
from orchestration.plane import Hint
from orchestration.settings import Settings

__all__ = ["BadSignature", "Role", "mint_livekit_token", "verify_webhook"]


class Role(StrEnum):
    """As what somebody joins."""

    HOST = "host"  #: owns the show
    CO_HOST = "co_host"  #: on stage with the host
    MODERATOR = "moderator"  #: watches, and keeps order
    VIEWER = "viewer"  #: watches
    MONITOR = "monitor"  #: watches unseen, to check the show


def _host(preset: Mapping[str, Any]) -> Grants:
    sources = ["microphone"]
    if preset.get("host_camera_enabled", True):
        sources.insert(0, "camera")
    if preset.get("host_screen_share", True):
        sources += ["screen_share", "screen_share_audio"]
    return Grants(publish_sources=tuple(sources), publish_data=True)


def _co_host(preset: Mapping[str, Any]) -> Grants:
    sources = ["microphone"]
    if preset.get("onstage_camera_enabled", True):
        sources.insert(0, "camera")
    if preset.get("onstage_screen_share", True):
        sources += ["screen_share", "screen_share_audio"]
    return Grants(publish_sources=tuple(sources), publish_data=True)


#: From a role and the session's preset to what the token allows.
GRANTS: Final[dict[Role, Callable[[Mapping[str, Any]], Grants]]] = {
    Role.HOST: _host,
    Role.CO_HOST: _co_host,
    Role.MODERATOR: lambda _: Grants(publish_data=True),
    Role.VIEWER: lambda _: Grants(),
    Role.MONITOR: lambda _: Grants(hidden=True),
}


#: Who is not the host asks again for each joining: once removed, nobody gets back in for long.
AUDIENCE_SECONDS: Final = 900


def mint_livekit_token(
    settings: Settings,
    *,
    role: Role | str,
    identity: str,
    name: str,
    room: str,
    preset: Mapping[str, Any],
) -> str:
    """Mint a LiveKit token for one room with exactly the role's grants.

    It only has to last until its holder has joined: LiveKit renews it for those who are there.
    """
    role = Role(role)
    return mint_token(
        settings,
        identity=identity,
        name=name,
        room=room,
        grants=GRANTS[role](preset),
        seconds=settings.livekit_token_seconds if role is Role.HOST else AUDIENCE_SECONDS,
    )


def verify_webhook(settings: Settings, body: bytes, authorization: str) -> Hint:
    """Verify LiveKit's webhook. Raises BadSignature, or ValueError for a body that is none."""
    return read_webhook(settings, body, authorization)
