"""Egresses: started, listed, stopped - and the work each does until it ends."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from livekit.protocol.egress import (
    EgressInfo,
    EgressSourceType,
    EgressStatus,
    FileInfo,
    ImagesInfo,
    ListEgressRequest,
    ListEgressResponse,
    ParticipantEgressRequest,
    RoomCompositeEgressRequest,
    SegmentsInfo,
    StartEgressRequest,
    StopEgressRequest,
    TrackCompositeEgressRequest,
    TrackEgressRequest,
    UpdateLayoutRequest,
    UpdateStreamRequest,
    WebEgressRequest,
)
from livekit.protocol.models import DisconnectReason, ParticipantInfo, ParticipantPermission

from deploy.standin.errors import TwirpError, bus_error, invalid, not_found
from deploy.standin.faults import Fault, Faults, Kind
from deploy.standin.ids import guid, now_ns
from deploy.standin.ingress import Ingresses
from deploy.standin.media import Run, Shape, find_ffmpeg, shape_of
from deploy.standin.options import Options
from deploy.standin.outputs import Plan, StartRequest, plan_of, redact
from deploy.standin.rooms import LiveRoom, Reason, Rooms
from deploy.standin.streams import Stream
from deploy.standin.webhooks import Webhooks
from deploy.standin.writer import Writer

log = structlog.get_logger("standin.egress")

NO_SUCH_EGRESS = "egress does not exist"

STOPPED_EARLY = "Stop called before pipeline could start"
NO_START_SIGNAL = "Start signal not received"

BY_API = "End reason: StopEgress API"
SOURCE_CLOSED = "End reason: Source closed"
FAILURE = "End reason: Failure"

Status: TypeAlias = EgressStatus

#: In one of these an egress counts as active.
ACTIVE = (
    EgressStatus.EGRESS_STARTING,
    EgressStatus.EGRESS_ACTIVE,
    EgressStatus.EGRESS_ENDING,
)

#: Ended egresses are listed for a day.
KEPT_NS = 24 * 3600 * 1_000_000_000

#: How often it is looked whether the source publishes.
LOOK_SECONDS = 0.05

#: A source that sends only sound for this long is taken as it is.
SOUND_ALONE_SECONDS = 3.0

#: How often finished images are looked for.
IMAGES_SECONDS = 0.4

#: livekit-server asks a worker that is gone for this long before it gives up.
STOP_TIMEOUT_SECONDS = 3.0

#: livekit-server looks for any worker for about this long before it gives up.
START_TIMEOUT_SECONDS = 22.0

#: The participant of a worker that died stays listed for about this long.
LINGER_SECONDS = 20.0

#: HTTP-like codes in `error_code`.
NOT_FOUND, PRECONDITION_FAILED, SERVER_ERROR = 404, 412, 500


class KilledError(Exception):
    """The handler was killed."""


@dataclass(slots=True)
class Egress:
    """One egress: what the API shows of it, and what moves it."""

    info: EgressInfo
    plan: Plan
    #: What livekit-server was told last, and lists: a worker tells it states, not each segment.
    told: EgressInfo = field(default_factory=EgressInfo)
    extra_webhooks: list[tuple[str, str]] = field(default_factory=list)
    #: Set when it is to end; `reason` says why.
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""
    run: Run | None = None
    task: asyncio.Task[None] | None = None
    #: Its handler was killed.
    killed: bool = False
    #: Its worker is gone: the status will never change again.
    abandoned: bool = False

    @property
    def is_active(self) -> bool:
        return self.info.status in ACTIVE

    def end(self, reason: str) -> None:
        """Ask it to end; the first reason stays."""
        if not self.ending.is_set():
            self.reason = reason
            self.ending.set()
        if self.run is not None:
            self.run.stop()

    def snapshot(self) -> EgressInfo:
        """Give the egress as the API shows it; one lone output is shown the old way too."""
        copy = EgressInfo()
        copy.CopyFrom(self.info)
        outputs = [*copy.file_results, *copy.segment_results, *copy.image_results]
        if len(outputs) == 1 and copy.segment_results:
            copy.segments.CopyFrom(copy.segment_results[0])
        if len(outputs) == 1 and copy.file_results:
            copy.file.CopyFrom(copy.file_results[0])
        return copy


class Egresses:
    """Every egress there is or was, and the calls about them."""

    def __init__(
        self,
        options: Options,
        *,
        rooms: Rooms,
        ingresses: Ingresses,
        webhooks: Webhooks,
        faults: Faults,
        keys: dict[str, str],
    ) -> None:
        self._options = options
        self._rooms = rooms
        self._ingresses = ingresses
        self._webhooks = webhooks
        self._faults = faults
        self._keys = keys
        self._egresses: dict[str, Egress] = {}
        self._background: set[asyncio.Task[None]] = set()

    def all(self) -> Iterator[Egress]:
        return iter(self._egresses.values())

    # -- Egress --

    async def start_egress(self, request: StartEgressRequest) -> EgressInfo:
        """Start an egress of the second version."""
        info = EgressInfo(source_type=EgressSourceType.EGRESS_SOURCE_TYPE_SDK)
        if request.WhichOneof("source") != "media":
            info.source_type = EgressSourceType.EGRESS_SOURCE_TYPE_WEB
        info.egress.CopyFrom(request)
        redact(info.egress)
        return await self._start(request, info)

    async def start_participant(self, request: ParticipantEgressRequest) -> EgressInfo:
        """Start an egress that ends when its participant leaves."""
        info = EgressInfo(source_type=EgressSourceType.EGRESS_SOURCE_TYPE_SDK)
        info.participant.CopyFrom(request)
        redact(info.participant)
        return await self._start(request, info)

    async def start_room_composite(self, request: RoomCompositeEgressRequest) -> EgressInfo:
        """Start an egress of the room; here: of whoever publishes in it."""
        info = EgressInfo(source_type=EgressSourceType.EGRESS_SOURCE_TYPE_WEB)
        info.room_composite.CopyFrom(request)
        redact(info.room_composite)
        return await self._start(request, info)

    async def start_web(self, _request: WebEgressRequest) -> EgressInfo:
        raise TwirpError("unimplemented", "the LiveKit stand-in opens no web pages")

    async def start_track_composite(self, _request: TrackCompositeEgressRequest) -> EgressInfo:
        raise TwirpError("unimplemented", "the LiveKit stand-in takes no single tracks")

    async def start_track(self, _request: TrackEgressRequest) -> EgressInfo:
        raise TwirpError("unimplemented", "the LiveKit stand-in takes no single tracks")

    async def list_egress(self, request: ListEgressRequest) -> ListEgressResponse:
        """List by room and state, or the one of an id; an unknown id is not_found."""
        self._forget_old()
        if request.egress_id:
            found = [self._get(request.egress_id)]
        else:
            found = list(self._egresses.values())
        return ListEgressResponse(
            items=[
                egress.told
                for egress in found
                if (not request.room_name or egress.info.room_name == request.room_name)
                and (not request.active or egress.is_active)
            ]
        )

    async def stop_egress(self, request: StopEgressRequest) -> EgressInfo:
        """End an egress; what has ended already cannot be stopped."""
        egress = self._get(request.egress_id)
        if egress.abandoned or self._worker_is_gone() is not None:
            gone = self._worker_is_gone()
            seconds = STOP_TIMEOUT_SECONDS if gone is None else stop_patience(gone)
            await asyncio.sleep(seconds)
            raise bus_error("deadline_exceeded", "request timed out")
        info = egress.info
        if not egress.is_active:
            name = EgressStatus.Name(info.status)
            raise bus_error("failed_precondition", f"egress with status {name} cannot be stopped")
        egress.end(BY_API)
        if info.status == EgressStatus.EGRESS_STARTING:
            self._end_as(egress, EgressStatus.EGRESS_ABORTED, STOPPED_EARLY, PRECONDITION_FAILED)
        elif info.status == EgressStatus.EGRESS_ACTIVE:
            self._set(egress, EgressStatus.EGRESS_ENDING)
        return egress.snapshot()

    async def update_layout(self, request: UpdateLayoutRequest) -> EgressInfo:
        return self._get(request.egress_id).snapshot()

    async def update_stream(self, request: UpdateStreamRequest) -> EgressInfo:
        self._get(request.egress_id)
        raise invalid("UpdateStream called on non-streaming egress")

    # -- starting --

    async def _start(self, request: StartRequest, info: EgressInfo) -> EgressInfo:
        room = self._rooms.get(request.room_name)
        gone = self._worker_is_gone()
        if gone is not None:
            await asyncio.sleep(start_patience(gone))
            raise bus_error("unavailable", "no response from servers")
        plan = plan_of(request, room_id=room.info.sid)
        webhooks = [(hook.url, hook.signing_key) for hook in request.webhooks]
        for _, signing_key in webhooks:
            if signing_key not in self._keys:
                raise invalid(f"unknown signing key {signing_key}")
        info.egress_id = guid("EG_")
        info.room_id, info.room_name = room.info.sid, room.info.name
        info.status = EgressStatus.EGRESS_STARTING
        info.started_at = info.updated_at = now_ns()
        add_results(info, plan)
        egress = Egress(info, plan, extra_webhooks=webhooks)
        self._egresses[info.egress_id] = egress
        answer = self._tell(egress, "egress_started")
        egress.task = asyncio.create_task(self._work(egress, room))
        return answer

    # -- working --

    async def _work(self, egress: Egress, room: LiveRoom) -> None:
        """Do everything one egress does, from joining to its last state."""
        try:
            self._join(egress, room)
            if self._is_stuck_at(egress, EgressStatus.EGRESS_ACTIVE):
                await egress.ending.wait()
                return
            await self._record(egress)
        except KilledError:
            self._end_as(egress, EgressStatus.EGRESS_FAILED, "signal: killed", SERVER_ERROR)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("egress_failed", egress_id=egress.info.egress_id)
            egress.reason = FAILURE
            self._leave(egress)
            self._end_as(egress, EgressStatus.EGRESS_FAILED, str(error), SERVER_ERROR)
        finally:
            if egress.run is not None:
                await egress.run.close()

    async def _record(self, egress: Egress) -> None:
        stream = await self._source(egress, patience=self._patience(egress.plan))
        if stream is None:
            self._never_started(egress)
            return
        writer = Writer(egress.plan, egress.info)
        shape = shape_of(stream, egress.plan.encoding)
        number = 0
        try:
            writer.begin()
            while stream is not None:
                await self._one_run(egress, writer, stream, shape, number)
                number += 1
                if egress.plan.ends_with_source:
                    egress.end(SOURCE_CLOSED)
                stream = await self._source(egress, patience=None)
            self._set(egress, EgressStatus.EGRESS_ENDING)
            await writer.finish(find_ffmpeg(self._options.ffmpeg))
        finally:
            await asyncio.to_thread(writer.discard)
        self._leave(egress)
        self._end_as(egress, EgressStatus.EGRESS_COMPLETE)

    async def _one_run(
        self, egress: Egress, writer: Writer, stream: Stream, shape: Shape, number: int
    ) -> None:
        """Write what comes until the source or the egress ends."""
        ffmpeg = find_ffmpeg(self._options.ffmpeg)
        run = Run(
            ffmpeg,
            number=number,
            stream=stream,
            plan=egress.plan,
            shape=shape,
            directory=writer.directory,
        )
        egress.run = run
        writer.new_run()
        await run.start()
        if egress.killed:
            run.kill()
        if egress.ending.is_set():
            run.stop()
        self._set(egress, EgressStatus.EGRESS_ACTIVE)
        self._die_later(egress)
        images = asyncio.create_task(keep_images(writer, run))
        try:
            async for piece in run.pieces():
                if not egress.killed:
                    await writer.segment(piece)
        finally:
            images.cancel()
            await asyncio.gather(images, return_exceptions=True)
            await run.close()
            egress.run = None
        if egress.killed:
            raise KilledError
        await writer.images(run)

    async def _source(self, egress: Egress, *, patience: float | None) -> Stream | None:
        """Wait until the source publishes; None when the wait or the egress is over."""
        deadline = None if patience is None else time.monotonic() + patience
        plan = egress.plan
        while not egress.ending.is_set():
            if egress.killed:
                raise KilledError
            stream = self._ingresses.stream_of(plan.room_name, plan.identity)
            if stream is not None and is_ready(stream):
                return stream
            if deadline is not None and time.monotonic() > deadline:
                return None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(egress.ending.wait(), LOOK_SECONDS)
        return None

    def _patience(self, plan: Plan) -> float | None:
        return None if plan.identity is None else self._options.source_wait_seconds

    def _never_started(self, egress: Egress) -> None:
        self._leave(egress)
        if not egress.ending.is_set():
            egress.reason = FAILURE
            error = f"participant {egress.plan.identity} not found"
            self._end_as(egress, EgressStatus.EGRESS_FAILED, error, NOT_FOUND)
        elif egress.is_active:
            self._end_as(egress, EgressStatus.EGRESS_ABORTED, NO_START_SIGNAL, PRECONDITION_FAILED)

    def _join(self, egress: Egress, room: LiveRoom) -> None:
        def put_out(_reason: Reason) -> None:
            egress.end(SOURCE_CLOSED)

        who = ParticipantInfo(
            identity=egress.info.egress_id,
            kind=ParticipantInfo.Kind.EGRESS,
            permission=ParticipantPermission(can_subscribe=True, hidden=True, recorder=True),
        )
        if self._rooms.find(room.info.name) is room:
            self._rooms.join(room.info.name, who, put_out)
        else:
            egress.end(SOURCE_CLOSED)

    def _leave(self, egress: Egress, reason: Reason = DisconnectReason.CLIENT_INITIATED) -> None:
        room = self._rooms.find(egress.info.room_name)
        if room is not None and room.info.sid == egress.info.room_id:
            self._rooms.leave(room, egress.info.egress_id, reason=reason)

    # -- states --

    def _set(self, egress: Egress, status: Status) -> None:
        """Move forward to a state that is not the last one, and tell; never back."""
        info = egress.info
        if status <= info.status or egress.abandoned or self._is_stuck_at(egress, status):
            return
        info.status = status
        info.updated_at = now_ns()
        if status == EgressStatus.EGRESS_ENDING:
            info.details = egress.reason
        self._tell(egress, "egress_updated")

    def _end_as(self, egress: Egress, status: Status, error: str = "", error_code: int = 0) -> None:
        """Move to the last state, and tell."""
        info = egress.info
        if not egress.is_active or egress.abandoned or self._is_stuck_at(egress, status):
            return
        info.status = status
        info.error, info.error_code = error, error_code
        info.details = egress.reason
        info.ended_at = info.updated_at = now_ns()
        self._tell(egress, "egress_ended")

    def _tell(self, egress: Egress, event: str) -> EgressInfo:
        egress.told = egress.snapshot()
        self._webhooks.egress(event, egress.told, egress.extra_webhooks)
        return egress.told

    def _is_stuck_at(self, egress: Egress, status: Status) -> bool:
        """Say whether a fault keeps the egress from reaching a state."""
        info = egress.info
        fault = self._faults.look(Kind.STUCK_STATE, room=info.room_name, resource_id=info.egress_id)
        if fault is None or fault.resource != "egress":
            return False
        name = fault.state.upper().removeprefix("EGRESS_") or "STARTING"
        if status <= EgressStatus.Value(f"EGRESS_{name}"):
            return False
        fault.hits += 1
        return True

    # -- faults --

    def die(self, fault: Fault) -> list[str]:
        """Kill the handlers of running egresses; gives their ids."""
        struck = [egress for egress in self._running() if concerns(fault, egress)]
        for egress in struck:
            self._kill(egress)
        return [egress.info.egress_id for egress in struck]

    def abandon(self, fault: Fault) -> list[str]:
        """Let the workers vanish: media stops, states stay as they are; gives the ids."""
        struck = [egress for egress in self._running() if concerns(fault, egress)]
        for egress in struck:
            egress.abandoned = True
            self._soon_leaves(egress, fault.delay_seconds or LINGER_SECONDS)
            if egress.run is not None:
                egress.run.kill()
            if egress.task is not None:
                egress.task.cancel()
        return [egress.info.egress_id for egress in struck]

    def forget(self) -> None:
        """Lose every egress without a word."""
        for egress in self._egresses.values():
            egress.abandoned = True
            if egress.run is not None:
                egress.run.kill()
            if egress.task is not None:
                egress.task.cancel()
        self._egresses.clear()

    async def close(self) -> None:
        """End all work and leave no ffmpeg behind."""
        tasks = [egress.task for egress in self._egresses.values() if egress.task is not None]
        tasks += self._background
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _running(self) -> list[Egress]:
        return [e for e in self._egresses.values() if e.is_active and not e.abandoned]

    def _kill(self, egress: Egress) -> None:
        egress.killed = True
        if egress.run is not None:
            egress.run.kill()
        self._soon_leaves(egress, LINGER_SECONDS)

    def _die_later(self, egress: Egress) -> None:
        """Let an armed `egress_dies` strike an egress that has just become active."""
        info = egress.info
        fault = self._faults.strike(
            Kind.EGRESS_DIES, room=info.room_name, resource_id=info.egress_id
        )
        if fault is not None:
            self._soon(egress, fault.delay_seconds or 0.0)

    def _soon(self, egress: Egress, seconds: float) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            if egress.is_active:
                self._kill(egress)

        self._keep(asyncio.create_task(later()))

    def _soon_leaves(self, egress: Egress, seconds: float) -> None:
        """Let the participant of a dead worker time out."""

        async def later() -> None:
            await asyncio.sleep(seconds)
            self._leave(egress, DisconnectReason.CONNECTION_TIMEOUT)

        self._keep(asyncio.create_task(later()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _worker_is_gone(self) -> Fault | None:
        return self._faults.look(Kind.WORKER_GONE)

    def _get(self, egress_id: str) -> Egress:
        egress = self._egresses.get(egress_id)
        if egress is None:
            raise not_found(NO_SUCH_EGRESS)
        return egress

    def _forget_old(self) -> None:
        oldest = now_ns() - KEPT_NS
        for egress_id, egress in list(self._egresses.items()):
            if not egress.is_active and egress.info.ended_at < oldest:
                del self._egresses[egress_id]


def add_results(info: EgressInfo, plan: Plan) -> None:
    """Name the results to come."""
    if plan.file is not None:
        info.file_results.append(FileInfo(filename=plan.file.path))
    if plan.segments is not None:
        live = plan.segments.live_playlist
        info.segment_results.append(
            SegmentsInfo(
                playlist_name=plan.segments.path(plan.segments.playlist),
                live_playlist_name=plan.segments.path(live) if live else "",
            )
        )
    for images in plan.images:
        info.image_results.append(ImagesInfo(filename_prefix=images.prefix))


def is_ready(stream: Stream) -> bool:
    """Say whether a stream has what an egress begins with."""
    if stream.video_header is not None or stream.key_frame_at > 0:
        return True
    return stream.has_audio and time.time() - stream.started_at > SOUND_ALONE_SECONDS


def concerns(fault: Fault, egress: Egress) -> bool:
    return fault.concerns(
        method=None,
        event=None,
        room=egress.info.room_name,
        resource_id=egress.info.egress_id,
    )


def stop_patience(fault: Fault) -> float:
    return STOP_TIMEOUT_SECONDS if fault.delay_seconds is None else fault.delay_seconds


def start_patience(fault: Fault) -> float:
    return START_TIMEOUT_SECONDS if fault.delay_seconds is None else fault.delay_seconds


async def keep_images(writer: Writer, run: Run) -> None:
    """Store images while a run goes on."""
    while True:
        await asyncio.sleep(IMAGES_SECONDS)
        await writer.images(run)
