"""What is asked and told about presets: the switches, colours and limits of a kind of show."""

import re
import uuid
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from api.shapes.common import Asked, Name, Told, published
from orchestration.models import Preset

Kind = Literal["whip", "rtmp"]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
#: People on stage. LiveKit carries more; a picture of them does not.
JoinLimit = Annotated[int, Field(ge=1, le=100)]
ReconnectWindow = Annotated[int, Field(ge=0, le=1800)]
NoMedia = Annotated[int, Field(ge=1, le=86_400)]
MaxDuration = Annotated[int, Field(ge=60, le=604_800)]


#: http and https only, without a user and without what ends an attribute: a page puts it there.
_WEB_ADDRESS: Final = re.compile(
    r"^(https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9!#$%&()*+,./:;=?@_~-]*)?)?$",
    re.ASCII,
)


def _web_address(text: str) -> str:
    if not _WEB_ADDRESS.fullmatch(text):
        raise PydanticCustomError(
            "url_not_allowed", "An address begins with https:// or http:// and a host's name"
        )
    return text


WebAddress = Annotated[
    str,
    StringConstraints(max_length=2048),
    AfterValidator(_web_address),
    published(_WEB_ADDRESS.pattern),
]

# fmt: off
#: Every term of a preset that may be left out, and what it is then.
DEFAULTS: Final[dict[str, Any]] = {
    "stage_enabled": True,
    "max_join_limit": 5,
    "chat_enabled": True,
    "poll_enabled": True,
    "viewer_count_visible": True,
    "primary_color": "#4f46e5",
    "logo": "",
    "logo_destination_url": "",
    "host_add_co_host": True,
    "host_camera_enabled": True,
    "host_screen_share": True,
    "host_chat_send_text": True,
    "host_chat_send_file": True,
    "host_chat_receive_message": True,
    "host_poll_create": True,
    "host_poll_vote": True,
    "host_poll_view": True,
    "onstage_camera_enabled": True,
    "onstage_screen_share": True,
    "onstage_viewer_view": True,
    "audience_stage_join_request": True,
    "audience_can_see_participants": True,
    "audience_chat_send_text": True,
    "audience_chat_send_file": False,      # strangers' files on everybody's screen: say yes first
    "audience_chat_receive_message": True,
    "audience_poll_create": False,         # the show is the host's
    "audience_poll_vote": True,
    "audience_poll_view": True,
    "moderator_manage_stage": True,
    "moderator_manage_chat": True,
    "moderator_manage_poll": True,
    "recording_enabled": True,
    "reconnect_window_seconds": None,      # ours, as the next two: null is the installation's
    "no_media_seconds": None,
    "max_duration_seconds": None,
}
# fmt: on


class _AskedTerms(Asked):
    """What CreatePresetRequest and UpdatePresetRequest share; what is left out is not said."""

    stage_enabled: bool = Field(default=True)
    max_join_limit: JoinLimit = Field(default=5)
    chat_enabled: bool = Field(default=True)
    poll_enabled: bool = Field(default=True)
    viewer_count_visible: bool = Field(default=True)
    logo: WebAddress = Field(default="", examples=["https://example.com/logo.svg"])
    logo_destination_url: WebAddress = Field(default="", examples=["https://example.com/"])
    host_add_co_host: bool = Field(default=True)
    host_camera_enabled: bool = Field(default=True)
    host_screen_share: bool = Field(default=True)
    host_chat_send_text: bool = Field(default=True)
    host_chat_send_file: bool = Field(default=True)
    host_chat_receive_message: bool = Field(default=True)
    host_poll_create: bool = Field(default=True)
    host_poll_vote: bool = Field(default=True)
    host_poll_view: bool = Field(default=True)
    onstage_camera_enabled: bool = Field(default=True)
    onstage_screen_share: bool = Field(default=True)
    onstage_viewer_view: bool = Field(default=True)
    audience_stage_join_request: bool = Field(default=True)
    audience_can_see_participants: bool = Field(default=True)
    audience_chat_send_text: bool = Field(default=True)
    audience_chat_send_file: bool = Field(default=False)
    audience_chat_receive_message: bool = Field(default=True)
    audience_poll_create: bool = Field(default=False)
    audience_poll_vote: bool = Field(default=True)
    audience_poll_view: bool = Field(default=True)
    moderator_manage_stage: bool = Field(default=True)
    moderator_manage_chat: bool = Field(default=True)
    moderator_manage_poll: bool = Field(default=True)
    recording_enabled: bool = Field(default=True)
    is_default: bool = Field(default=False)
    reconnect_window_seconds: ReconnectWindow | None = None
    no_media_seconds: NoMedia | None = None
    max_duration_seconds: MaxDuration | None = None


class CreatePresetRequest(_AskedTerms):
    """A new preset; `name`, `type` and `primary_color` must be said."""

    name: Name = Field(examples=["Keynote"])
    type: Kind
    primary_color: Color = Field(examples=["#4f46e5"])


class UpdatePresetRequest(_AskedTerms):
    """What to change about a preset; what is left out stays."""

    name: Name = Field(default="-")
    type: Kind = Field(default="rtmp")
    primary_color: Color = Field(default="#4f46e5")


class PresetResponse(Told):
    """What a show of this kind may do."""

    id: uuid.UUID
    user_id: uuid.UUID
    library_id: uuid.UUID
    name: str
    type: Kind
    stage_enabled: bool
    max_join_limit: int
    chat_enabled: bool
    poll_enabled: bool
    viewer_count_visible: bool
    primary_color: str
    logo: str
    logo_destination_url: str
    host_add_co_host: bool
    host_camera_enabled: bool
    host_screen_share: bool
    host_chat_send_text: bool
    host_chat_send_file: bool
    host_chat_receive_message: bool
    host_poll_create: bool
    host_poll_vote: bool
    host_poll_view: bool
    onstage_camera_enabled: bool
    onstage_screen_share: bool
    onstage_viewer_view: bool
    audience_stage_join_request: bool
    audience_can_see_participants: bool
    audience_chat_send_text: bool
    audience_chat_send_file: bool
    audience_chat_receive_message: bool
    audience_poll_create: bool
    audience_poll_vote: bool
    audience_poll_view: bool
    moderator_manage_stage: bool
    moderator_manage_chat: bool
    moderator_manage_poll: bool
    recording_enabled: bool
    is_default: bool
    reconnect_window_seconds: int | None = Field(
        description="How long an encoder may be away; null is the installation's setting."
    )
    no_media_seconds: int | None = Field(
        description="When a live show that nobody sends to ends; null is the setting."
    )
    max_duration_seconds: int | None = Field(
        description="The longest show of this kind; null is the setting."
    )
    created_at: datetime
    updated_at: datetime


class PresetAnswer(Told):
    """The preset that was made."""

    preset: PresetResponse


class PresetListResponse(Told):
    """A page of presets."""

    presets: list[PresetResponse]
    total: int
    page: int
    limit: int


def terms_of(asked: CreatePresetRequest | UpdatePresetRequest) -> dict[str, Any]:
    """Give the terms that were said, without those that have a column of their own."""
    said = asked.model_dump(exclude_unset=True)
    return {name: value for name, value in said.items() if name in DEFAULTS}


def preset_document(preset: Preset) -> dict[str, Any]:
    """Say a preset as PresetResponse, in values that JSON has (it is also kept in sessions)."""
    return {
        "id": str(preset.id),
        "user_id": str(preset.user_id),
        "library_id": str(preset.library_id),
        "name": preset.name,
        "type": preset.type,
        **{name: preset.terms.get(name, default) for name, default in DEFAULTS.items()},
        "is_default": preset.is_default,
        "created_at": preset.created_at.isoformat().replace("+00:00", "Z"),
        "updated_at": preset.updated_at.isoformat().replace("+00:00", "Z"),
    }
