"""Recordings: list, read, name, delete, and a link that downloads one and expires."""

import hashlib
import hmac
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web
from sqlalchemy import select
from sqlmodel import col

from api import access, media
from api.problems import Problem
from api.routes import Answer, Call, Route, Speaks, Who
from api.shapes.recordings import (
    LinkQuery,
    RecordingDownloadResponse,
    RecordingListResponse,
    RecordingResponse,
    UpdateRecordingRequest,
    download_name_of,
    file_name_of,
    recording_document,
)
from orchestration.models import Recording
from orchestration.names import (
    HLS,
    RECORDINGS,
    THUMBNAILS,
    full_playlist_key,
    playlist_key,
)
from orchestration.presigned import content_disposition
from orchestration.states import Verdict
from orchestration.storage import StorageUnavailable

#: Long enough to begin a download in a browser; one that began goes on.
LINK_SECONDS: Final = 3600


async def list_recordings(call: Call) -> Answer:
    """List what a show left behind."""
    async with call.resources.db.read() as tx:
        session = await access.own_session(tx, call.ids["id"], call.caller)
        found = await tx.scalars(
            select(Recording)
            .where(col(Recording.session_id) == session.id, col(Recording.deleted_at).is_(None))
            .order_by(col(Recording.created_at))
        )
        told = [recording_document(recording) for recording in found]
    return Answer({"recordings": told, "total": len(told)})


async def get_recording(call: Call) -> Answer:
    """Read a recording."""
    async with call.resources.db.read() as tx:
        recording = await access.own_recording(tx, call.ids["id"], call.caller)
    return Answer(recording_document(recording), version=recording.version)


async def rename_recording(call: Call) -> Answer:
    """Give a recording another name, which its download will have."""
    asked: UpdateRecordingRequest = call.body
    async with call.begin() as tx:
        recording = await access.own_recording(tx, call.ids["id"], call.caller, locks=True)
        call.match(recording.version)
        recording.name = file_name_of(asked.name)
        recording.version += 1
        recording.updated_at = datetime.now(UTC)
    return Answer(recording_document(recording), version=recording.version)


async def delete_recording(call: Call) -> Answer:
    """Delete a recording for good, with the segments and thumbnails of its show."""
    async with call.resources.db.read() as tx:
        recording = await access.own_recording(tx, call.ids["id"], call.caller)
    call.match(recording.version)
    if recording.status == "recording" and recording.finish_asked_at is None:
        raise Problem("recording-not-ready", "It is still being recorded; end the show first.")
    if recording.lease_owner is not None:
        raise Problem("recording-not-ready", "It is being checked just now; ask again in a moment.")
    # Files first: a repetition finishes what a failure left, while a row without files is a lie.
    await _delete_files(recording, call)
    async with call.begin() as tx:
        recording = await access.own_recording(tx, call.ids["id"], call.caller, locks=True)
        recording.deleted_at = recording.updated_at = datetime.now(UTC)
        recording.look_at = None  # one whose storage was away is not tried again
        recording.version += 1
    return Answer()


async def download_recording(call: Call) -> Answer:
    """Give a link that downloads the recording, until it expires."""
    async with call.resources.db.read() as tx:
        recording = await access.own_recording(tx, call.ids["id"], call.caller)
    if recording.status == "recording":
        raise Problem("recording-not-ready")
    if recording.file_path is None or recording.verdict is Verdict.LOST:
        raise Problem("recording-lost")
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LINK_SECONDS)
    try:
        link = await call.resources.storage.presign(
            recording.file_path, LINK_SECONDS, download_name_of(recording)
        )
    except StorageUnavailable as error:
        raise _storage_away() from error
    return Answer(
        {
            "download_url": link or _own_link(call, recording.id, expires_at),
            "expires_at": expires_at,
        }
    )


async def get_file(call: Call) -> web.StreamResponse:
    """Send a recording to whoever has a link of ours that is still good."""
    recording_id, query = call.ids["id"], call.query
    expires = int(query.expires)
    if not hmac.compare_digest(_signature(call, recording_id, expires), query.signature):
        raise Problem("recording-not-found")
    if expires < datetime.now(UTC).timestamp():
        raise Problem("link-expired")
    async with call.resources.db.read() as tx:
        recording = await tx.get(Recording, recording_id)
    if recording is None or recording.deleted_at is not None or recording.file_path is None:
        raise Problem("recording-not-found")
    sent = media.Sent(
        "video/mp4",
        {
            "Content-Disposition": content_disposition(download_name_of(recording)),
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )
    try:
        return await media.send(call.request, call.resources.storage, recording.file_path, sent)
    except Problem as problem:
        if problem.slug == "media-not-found":
            raise Problem("recording-not-found") from None
        raise


def _own_link(call: Call, recording_id: uuid.UUID, expires_at: datetime) -> str:
    expires = int(expires_at.timestamp())
    where = f"{call.resources.settings.api_base}/recordings/{recording_id}/file"
    return f"{where}?expires={expires}&signature={_signature(call, recording_id, expires)}"


def _signature(call: Call, recording_id: uuid.UUID, expires: int) -> str:
    text = f"recording {recording_id} {expires}".encode()
    return hmac.new(call.resources.secrets.link_key, text, hashlib.sha256).hexdigest()


async def _delete_files(recording: Recording, call: Call) -> None:
    """Delete the film and what the show can be watched again from: it is the same picture."""
    storage, session_id = call.resources.storage, recording.session_id
    try:
        # Playlists go before what they name.
        await storage.delete((playlist_key(session_id), full_playlist_key(session_id)))
        for kind in (RECORDINGS, HLS, THUMBNAILS):
            stored = await storage.list(f"{kind}/{session_id}/")
            await storage.delete(each.key for each in stored)
    except StorageUnavailable as error:
        raise _storage_away() from error


def _storage_away() -> Problem:
    return Problem(
        "service-unavailable", "The storage does not answer.", retry_after=media.RETRY_SECONDS
    )


_OWN: Final = ("recording-not-found", "insufficient-scope")

# fmt: off
ROUTES: Final = (
    Route("GET", "/sessions/{id}/recordings", list_recordings, Who.HOST, "List recordings",
          answer=RecordingListResponse, tag="recordings",
          problems=("session-not-found", "insufficient-scope")),
    Route("GET", "/recordings/{id}", get_recording, Who.HOST, "Read a recording",
          answer=RecordingResponse, tag="recordings", problems=_OWN),
    Route("PATCH", "/recordings/{id}", rename_recording, Who.HOST, "Rename a recording",
          body=UpdateRecordingRequest, answer=RecordingResponse, tag="recordings",
          problems=(*_OWN, "invalid-name", "version-mismatch")),
    Route("DELETE", "/recordings/{id}", delete_recording, Who.HOST, "Delete a recording",
          tag="recordings", problems=(*_OWN, "recording-not-ready", "version-mismatch")),
    Route("GET", "/recordings/{id}/download", download_recording, Who.HOST,
          "Get a link to a recording", answer=RecordingDownloadResponse, tag="recordings",
          problems=(*_OWN, "recording-not-ready", "recording-lost")),
    Route("GET", "/recordings/{id}/file", get_file, Who.PUBLIC, "Download a recording",
          query=LinkQuery, speaks=Speaks.RAW, content_type="video/mp4", tag="recordings",
          problems=("recording-not-found", "link-expired", "range-not-satisfiable"),
          description="Where a link of ours points to, when recordings lie on local disk."),
)
# fmt: on
