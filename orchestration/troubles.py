"""Say what went wrong at LiveKit as a problem that tells its cause: slug and detail."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from orchestration import names
from orchestration.plane import (
    IngressSeen,
    OutcomeUnknown,
    ParticipantSeen,
    PlaneError,
    Refused,
    Unavailable,
)

#: Codes that mean: LiveKit knows us not, or will not let us.
KEY_CODES: Final = frozenset({"unauthenticated", "permission_denied"})
#: Verbs that need an egress worker beside livekit-server.
EGRESS_VERBS: Final = frozenset({"StartEgress", "StartParticipantEgress"})
#: Sound may come before its picture; after this it comes alone.
SOUND_FIRST_SECONDS: Final = 5
#: Of an ingress' own words; the rest is of no use to a host.
ERROR_CHARACTERS_MAX: Final = 300


def trouble_of(error: PlaneError) -> dict[str, Any]:
    """Tell a plane's error as `{slug, detail}`; slugs stand in the API's problem catalogue."""
    return {"slug": _slug_of(error), "detail": f"{error.verb}: {error.code} {error.detail}".strip()}


def _slug_of(error: PlaneError) -> str:
    match error:
        case Refused() if error.code in KEY_CODES:
            return "livekit-key-refused"
        case Refused():
            return "livekit-refused"
        case Unavailable() if error.code == "unreachable":
            return "livekit-unreachable"
        case Unavailable() if error.verb in EGRESS_VERBS:
            return "egress-unavailable"
        case OutcomeUnknown():
            return "livekit-no-answer"
        case _:
            return "livekit-unavailable"


def trouble_of_take(error: str | None) -> dict[str, Any]:
    """Say that an egress began and ended before it had written anything to play."""
    why = (error or "it does not say why")[:ERROR_CHARACTERS_MAX]
    return {"slug": "egress-failed", "detail": f"LiveKit's egress ended without a segment: {why}"}


def trouble_without_picture(
    host_id: UUID,
    people: Sequence[ParticipantSeen],
    ingresses: Sequence[IngressSeen],
    moment: datetime,
) -> dict[str, Any] | None:
    """Say why a show has no picture although somebody tries to send one; None: nobody does."""
    hosts = names.host_identities(host_id)
    for person in people:
        kinds = {track.kind for track in person.tracks}
        if person.identity in hosts and kinds == {"audio"} and _is_settled(person, moment):
            return {"slug": "no-picture", "detail": _heard_only(person.identity)}
    for ingress in ingresses:
        if ingress.status == "error":
            why = ingress.error[:ERROR_CHARACTERS_MAX] or "it does not say why"
            said = f"LiveKit's ingress did not take what came by {ingress.input.upper()}: {why}"
            return {"slug": "encoder-refused", "detail": said}
    return None


def _is_settled(person: ParticipantSeen, moment: datetime) -> bool:
    since = person.joined_at
    return since is None or moment - since > timedelta(seconds=SOUND_FIRST_SECONDS)


def _heard_only(identity: str) -> str:
    via = identity.partition("#")[2]
    if not via:
        return "Sound arrives from the host's browser, and no picture. Switch the camera on."
    return (
        f"Sound arrives by {via.upper()}, and no picture. Switch the picture on, and send it as "
        "H264: LiveKit's ingress leaves out a codec that it cannot read, such as HEVC."
    )
