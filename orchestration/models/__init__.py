"""The tables of the ledger, one noun per file; importing this package knows them all."""

from orchestration.models.event import Event
from orchestration.models.idempotency import IdempotencyKey
from orchestration.models.job import Job
from orchestration.models.key import ApiKey, AuthCode, DeviceToken, RefreshToken
from orchestration.models.organization import Organization
from orchestration.models.participant import Participant
from orchestration.models.playback import Playback
from orchestration.models.preset import Preset
from orchestration.models.recording import Recording
from orchestration.models.room import Room
from orchestration.models.session import Session
from orchestration.models.take import Take
from orchestration.models.tick import Tick
from orchestration.models.user import User
from orchestration.models.webhook import SeenWebhook

__all__ = [
    "ApiKey",
    "AuthCode",
    "DeviceToken",
    "Event",
    "IdempotencyKey",
    "Job",
    "Organization",
    "Participant",
    "Playback",
    "Preset",
    "Recording",
    "RefreshToken",
    "Room",
    "SeenWebhook",
    "Session",
    "Take",
    "Tick",
    "User",
]
