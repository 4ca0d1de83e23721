"""What an event stream is asked for, and what it tells beside the timeline's events."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from api.shapes.common import INT32_MAX, Digits, Told
from api.shapes.events import RecordingReport
from api.shapes.health import StreamHealthResponse
from api.shapes.sessions import SessionResponse

#: Nobody needs one connection for longer: a stream that ends is taken up again where it ended.
STREAM_SECONDS_MAX: Final = 3600


class StreamQuery(BaseModel):
    """Where an event stream begins, and how long it lasts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Annotated[Digits, Field(ge=0, le=INT32_MAX)] = Field(
        default=0, description="Only events with a greater number; Last-Event-ID goes first."
    )
    seconds: Annotated[Digits, Field(ge=0, le=STREAM_SECONDS_MAX)] = Field(
        default=STREAM_SECONDS_MAX,
        description="End by itself after so long; 0 tells what there is and ends.",
    )


class StateResponse(Told):
    """A show as it is now: the data of a stream's `state`."""

    session: SessionResponse
    health: StreamHealthResponse
    recording: RecordingReport | None
