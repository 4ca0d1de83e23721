"""What is asked and told about recordings."""

import re
import unicodedata
import uuid
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

from pydantic import Field

from api.problems import Problem
from api.shapes.common import Asked, Count, Query, Told, published
from orchestration.models import Recording
from orchestration.states import Verdict

#: The contract's limit, in characters; file systems have the same one in bytes.
NAME_MAX: Final = 255
#: Names that Windows keeps for devices, whatever their suffix.
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
#: What a file's name cannot hold on one system or another, and what cannot be seen.
_CLASS: Final = '\x00-\x1f\x7f-\x9f/\\\\:*?"<>|\u200e\u200f\u2028-\u202e\u2066-\u2069'
_FORBIDDEN: Final = re.compile(f"[{_CLASS}]")
#: The same for the API's description; that devices' names are none, only the validator says.
_NAME: Final = published(f"^[^{_CLASS}%.\\s]([^{_CLASS}%]*[^{_CLASS}%.\\s])?$")


class UpdateRecordingRequest(Asked):
    """The recording's new name."""

    name: Annotated[str, _NAME] = Field(max_length=NAME_MAX, examples=["Spring launch"])


class RecordingResponse(Told):
    """What a show leaves behind."""

    id: uuid.UUID
    session_id: uuid.UUID
    egress_id: str | None
    name: str
    file_path: str | None
    duration: Count | None = Field(description="Seconds.")
    file_size: Count | None = Field(description="Bytes.")
    status: Literal["recording", "completed", "failed"]
    storage_type: str
    retry_count: int
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    verdict: Verdict | None = Field(description="What the check found; null until it is over.")
    verdict_reason: str | None
    sha256: str | None


class RecordingListResponse(Told):
    """A session's recordings."""

    recordings: list[RecordingResponse]
    total: int


class RecordingDownloadResponse(Told):
    """A link that expires."""

    download_url: str
    expires_at: datetime


class LinkQuery(Query):
    """What makes a link good: until when, and our signature."""

    expires: str = Field(pattern=r"^[0-9]{1,12}$", description="Until when, in Unix seconds.")
    signature: str = Field(pattern=r"^[0-9a-f]{64}$")


def recording_document(recording: Recording) -> dict[str, Any]:
    """Say a recording as RecordingResponse."""
    return {
        "id": recording.id,
        "session_id": recording.session_id,
        "egress_id": recording.egress_id,
        "name": recording.name,
        "file_path": recording.file_path,
        "duration": recording.duration_seconds,
        "file_size": recording.file_size,
        "status": recording.status,
        "storage_type": recording.storage_type,
        "retry_count": recording.retry_count,
        "error_message": recording.error_message,
        "created_at": recording.created_at,
        "updated_at": recording.updated_at,
        "verdict": recording.verdict,
        "verdict_reason": recording.verdict_reason,
        "sha256": recording.sha256,
    }


def file_name_of(name: str) -> str:
    """Check a name and give it in one spelling (NFC). Raises Problem invalid-name.

    It will be a file's name on somebody's machine, so that whatever is a path, a device or no name
    at all somewhere is refused everywhere.
    """
    spelled = unicodedata.normalize("NFC", name)
    # Somebody's browser or proxy will decode it once more.
    if len(spelled.encode()) > NAME_MAX or not all(map(_is_fine, (spelled, unquote(spelled)))):
        raise Problem("invalid-name")
    return spelled


def _is_fine(name: str) -> bool:
    return (
        bool(name)
        and name == name.strip()
        and name == name.strip(".")
        and not _FORBIDDEN.search(name)
        and not _RESERVED.fullmatch(name)
    )


def download_name_of(recording: Recording) -> str:
    """Name the download: older names may come from titles, which may hold anything."""
    name = _FORBIDDEN.sub("-", unicodedata.normalize("NFC", recording.name)).strip(" .")
    while len(name.encode()) > NAME_MAX - len(".mp4"):
        name = name[:-1]
    return f"{name or recording.id}.mp4"
