"""The published contract, written down once more by hand: names of members, and their JSON types.

The shapes under test make the OpenAPI document and the answers; this table is what both are held
against, so that a renamed member cannot slip through by being renamed everywhere.
"""

from typing import Any

TEXT, WHOLE, FLAG, OBJECT, LIST = str, int, bool, dict, list

USER = {
    "id": TEXT,
    "external_user_id": TEXT,
    "organization_id": TEXT,
    "email": TEXT,
    "username": TEXT,
    "role": TEXT,
    "is_active": FLAG,
    "created_at": TEXT,
}
ROOM = {
    "id": TEXT,
    "host_id": TEXT,
    "host": OBJECT,
    "library_id": TEXT,
    "title": TEXT,
    "description": TEXT,
    "analytics": OBJECT,
    "active_session_id": TEXT,
    "created_at": TEXT,
    "updated_at": TEXT,
}
PRESET = {
    "id": TEXT,
    "user_id": TEXT,
    "library_id": TEXT,
    "name": TEXT,
    "type": TEXT,
    "stage_enabled": FLAG,
    "max_join_limit": WHOLE,
    "chat_enabled": FLAG,
    "poll_enabled": FLAG,
    "viewer_count_visible": FLAG,
    "primary_color": TEXT,
    "logo": TEXT,
    "logo_destination_url": TEXT,
    "host_add_co_host": FLAG,
    "host_camera_enabled": FLAG,
    "host_screen_share": FLAG,
    "host_chat_send_text": FLAG,
    "host_chat_send_file": FLAG,
    "host_chat_receive_message": FLAG,
    "host_poll_create": FLAG,
    "host_poll_vote": FLAG,
    "host_poll_view": FLAG,
    "onstage_camera_enabled": FLAG,
    "onstage_screen_share": FLAG,
    "onstage_viewer_view": FLAG,
    "audience_stage_join_request": FLAG,
    "audience_can_see_participants": FLAG,
    "audience_chat_send_text": FLAG,
    "audience_chat_send_file": FLAG,
    "audience_chat_receive_message": FLAG,
    "audience_poll_create": FLAG,
    "audience_poll_vote": FLAG,
    "audience_poll_view": FLAG,
    "moderator_manage_stage": FLAG,
    "moderator_manage_chat": FLAG,
    "moderator_manage_poll": FLAG,
    "recording_enabled": FLAG,
    "is_default": FLAG,
    "created_at": TEXT,
    "updated_at": TEXT,
}
SESSION = {
    "id": TEXT,
    "room_id": TEXT,
    "room": OBJECT,
    "preset": OBJECT,
    "title": TEXT,
    "description": TEXT,
    "status": TEXT,
    "mode": TEXT,
    "started_at": TEXT,
    "ended_at": TEXT,
    "duration": WHOLE,
    "scheduled_start_time": TEXT,
    "viewer_count": WHOLE,
    "max_viewers": WHOLE,
    "recording_enabled": FLAG,
    "hls_url": TEXT,
    "chat_enabled_override": FLAG,
    "stage_enabled_override": FLAG,
    "max_join_limit_override": WHOLE,
    "effective_chat_enabled": FLAG,
    "effective_stage_enabled": FLAG,
    "effective_max_join_limit": WHOLE,
    "created_at": TEXT,
    "updated_at": TEXT,
}
START = {
    "session": OBJECT,
    "livekit_token": TEXT,
    "rtmp": OBJECT,
    "rtmp_setup": OBJECT,
    "whip_url": TEXT,
}
RTMP = {"ingress_id": TEXT, "url": TEXT, "stream_key": TEXT}
RTMP_SETUP = {"server": TEXT, "stream_key": TEXT, "instructions": OBJECT}
INSTRUCTIONS = {"step1": TEXT, "step2": TEXT, "step3": TEXT}
CREATED = {"session": OBJECT, "rtmp_url": TEXT, "stream_key": TEXT}
JOIN = {"livekit_token": TEXT, "room_name": TEXT}
SESSIONS = {"sessions": LIST, "total": WHOLE, "page": WHOLE, "limit": WHOLE}
STATS = {"total_sessions": WHOLE, "live_now": WHOLE, "scheduled": WHOLE, "ended": WHOLE}
RECORDING = {
    "id": TEXT,
    "session_id": TEXT,
    "egress_id": TEXT,
    "name": TEXT,
    "file_path": TEXT,
    "duration": WHOLE,
    "file_size": WHOLE,
    "status": TEXT,
    "storage_type": TEXT,
    "retry_count": WHOLE,
    "error_message": TEXT,
    "created_at": TEXT,
    "updated_at": TEXT,
}
RECORDINGS = {"recordings": LIST, "total": WHOLE}
DOWNLOAD = {"download_url": TEXT, "expires_at": TEXT}
PARTICIPANT = {
    "id": TEXT,
    "session_id": TEXT,
    "user_id": TEXT,
    "username": TEXT,
    "user": OBJECT,
    "role": TEXT,
    "is_active": FLAG,
    "assigned_at": TEXT,
    "joined_at": TEXT,
    "assigned_by": TEXT,
    "assigned_by_user": OBJECT,
    "removed_at": TEXT,
    "left_at": TEXT,
}
PARTICIPANTS = {"participants": LIST, "total": WHOLE}
ERROR = {"success": FLAG, "error": TEXT, "message": TEXT, "timestamp": WHOLE}

#: What may be null where, beyond what has no value yet; everything else must have its type.
NULLABLE = {
    "email",
    "description",
    "analytics",
    "active_session_id",
    "started_at",
    "ended_at",
    "scheduled_start_time",
    "hls_url",
    "chat_enabled_override",
    "stage_enabled_override",
    "max_join_limit_override",
    "egress_id",
    "file_path",
    "duration",
    "file_size",
    "error_message",
    "joined_at",
    "removed_at",
    "left_at",
}


def check(told: dict[str, Any], members: dict[str, type]) -> None:
    """Assert that every published member is there with its published type."""
    assert set(members) - set(told) == set()
    for name, kind in members.items():
        value = told[name]
        if value is None:
            assert name in NULLABLE, f"{name} is null"
        else:
            assert type(value) is kind, f"{name} is {value!r}, not {kind.__name__}"


def check_session(told: dict[str, Any]) -> None:
    """Assert a SessionResponse, and everything in it."""
    check(told, SESSION)
    check(told["room"], ROOM)
    check(told["room"]["host"], USER)
    check(told["preset"], PRESET)


def check_started(told: dict[str, Any]) -> None:
    """Assert a StartSessionResponse, and everything in it."""
    check(told, START)
    check_session(told["session"])
    check(told["rtmp"], RTMP)
    check(told["rtmp_setup"], RTMP_SETUP)
    check(told["rtmp_setup"]["instructions"], INSTRUCTIONS)
