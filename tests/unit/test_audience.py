"""Who in a LiveKit room is the audience, and what each role may do there."""

import time
import uuid
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from orchestration.marks import pool_of
from orchestration.plane import ParticipantSeen
from orchestration.settings import Settings
from orchestration.tokens import Role, mint_livekit_token
from orchestration.viewers import livekit_viewers

HOST = uuid.uuid4()
SETTINGS = Settings(
    livekit_api_key="key", livekit_api_secret=SecretStr("a secret of more than 32 characters")
)


@pytest.mark.parametrize(
    ("person", "counts"),
    [
        (ParticipantSeen("a viewer", "standard"), 1),
        (ParticipantSeen(str(HOST), "standard"), 0),
        (ParticipantSeen(f"{HOST}#rtmp", "ingress"), 0),
        (ParticipantSeen(f"{HOST}#whip", "ingress"), 0),
        (ParticipantSeen("EG_1", "egress", is_hidden=True), 0),
        (ParticipantSeen("an agent", "agent"), 0),
        (ParticipantSeen("a phone", "sip"), 0),
        (ParticipantSeen("a monitor", "standard", is_hidden=True), 0),
        (ParticipantSeen("a recorder", "standard", is_recorder=True), 0),
        (ParticipantSeen("on stage", "standard", is_publisher=True), 0),
        (ParticipantSeen("still joining", "standard", is_active=False), 0),
    ],
)
def test_only_who_watches_counts(person: ParticipantSeen, counts: int) -> None:
    """Machines, hosts and who is on stage are not the audience."""
    assert counts == livekit_viewers(HOST, [person])


def claims(role: Role, **preset: bool) -> dict[str, object]:
    token = mint_livekit_token(
        SETTINGS, role=role, identity="me", name="Me", room="greenroom-1", preset=preset
    )
    read: dict[str, object] = jwt.decode(
        token, "a secret of more than 32 characters", algorithms=["HS256"], issuer="key"
    )
    return read


@pytest.mark.parametrize(
    ("role", "preset", "publishes", "hidden"),
    [
        (Role.HOST, {}, {"camera", "microphone", "screen_share", "screen_share_audio"}, False),
        (
            Role.HOST,
            {"host_camera_enabled": False},
            {"microphone", "screen_share", "screen_share_audio"},
            False,
        ),
        (Role.HOST, {"host_screen_share": False}, {"camera", "microphone"}, False),
        (Role.CO_HOST, {"onstage_screen_share": False}, {"camera", "microphone"}, False),
        (Role.MODERATOR, {}, set(), False),
        (Role.VIEWER, {}, set(), False),
        (Role.MONITOR, {}, set(), True),
    ],
)
def test_a_token_allows_what_role_and_preset_allow_and_no_more(
    role: Role, preset: dict[str, bool], publishes: set[str], hidden: bool
) -> None:
    """Pinned to one room; nobody but the server may administer it."""
    # When
    read = claims(role, **preset)
    video = read["video"]

    # Then
    assert isinstance(video, dict)
    assert video["room"] == "greenroom-1"
    assert video["roomJoin"] is True
    assert set(video.get("canPublishSources", [])) == publishes
    assert video["canPublish"] is bool(publishes)
    assert video.get("hidden", False) is hidden
    assert not {"roomAdmin", "roomCreate", "roomList", "ingressAdmin", "roomRecord"} & {
        grant for grant, value in video.items() if value
    }
    assert isinstance(read["exp"], int)
    seconds = SETTINGS.livekit_token_seconds if role is Role.HOST else 900
    assert seconds - 60 < read["exp"] - time.time() <= seconds


@pytest.mark.parametrize(
    ("queue", "database", "said"),
    [
        ("redis://127.0.0.1:6379/0", 1, {"host": "127.0.0.1", "port": 6379}),
        ("redis://:secret@host/3", 4, {"host": "host", "password": "secret"}),
        ("redis://host:6379", 1, {"host": "host"}),
        ("redis://host/0?socket_keepalive=true", 1, {"socket_keepalive": True}),
        ("redis://host?db=2", 3, {"host": "host"}),
        ("rediss://host/0?ssl_ca_certs=/ca.pem", 1, {"ssl_ca_certs": "/ca.pem"}),
        ("unix:///run/redis.sock?db=5", 6, {"path": "/run/redis.sock"}),
    ],
)
def test_the_whiteboard_is_the_database_after_the_queues(
    queue: str, database: int, said: dict[str, Any]
) -> None:
    """Maintenance of one must not meet the keys of the other; all else is as it is said."""
    kept = pool_of(queue).connection_kwargs

    assert kept["db"] == database
    assert said.items() <= kept.items()
