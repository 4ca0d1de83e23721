"""Look at a session with what this process has opened: what actor and sweep call."""

from contextlib import AbstractAsyncContextManager
from functools import partial
from uuid import UUID

from orchestration import converge, leases, names
from orchestration.converge import Looked
from orchestration.ledger import SqlLedger
from orchestration.models import Session
from orchestration.plane import S3Target, TakeOutputs
from orchestration.publish import publish
from orchestration.resources import Resources
from orchestration.show import Show


async def look(session_id: UUID, resources: Resources, *, may_be_slow: bool = True) -> Looked:
    """Look once: see converge.look."""
    return await converge.look(session_id, Lookout(resources), may_be_slow=may_be_slow)


class Lookout:
    """A process' resources as a look needs them."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self.settings = resources.settings
        self.plane = resources.plane

    async def claim(self, session_id: UUID) -> leases.Lease | None:
        return await leases.claim(
            self._resources.db,
            Session,
            session_id,
            owner=self._resources.owner,
            seconds=self.settings.lease_seconds,
        )

    def keep(self, lease: leases.Lease) -> AbstractAsyncContextManager[None]:
        return leases.kept(
            self._resources.db,
            lease,
            seconds=self.settings.lease_seconds,
            ending=self._resources.ending,
        )

    def ledger(self, lease: leases.Lease) -> SqlLedger:
        return SqlLedger(
            self._resources.db,
            lease,
            settings=self.settings,
            secrets=self._resources.secrets,
            storage_type=str(self._resources.storage.kind),
            publish=partial(publish, resources=self._resources),
            ring=self._resources.bell.ring,
        )

    async def finished(self, job_id: UUID) -> None:
        await self._resources.bell.finished(job_id)

    def outputs(self, show: Show, take: int) -> TakeOutputs:
        """Say where a take's files go, in the egress' own words."""

        def where(key: str) -> str:
            return self._resources.storage.egress_output(key).filename_prefix

        folder = names.take_folder(show.id, take)
        target = self._resources.storage.egress_output(folder)
        return TakeOutputs(
            segment_prefix=where(f"{folder}seg"),
            playlist_name=where(f"{folder}vod.m3u8"),
            live_playlist_name=where(f"{folder}live.m3u8"),
            segment_seconds=self.settings.segment_seconds,
            file_name=where(names.take_file_key(show.id, take)) if show.recording_enabled else None,
            image_prefix=where(names.thumbnail_prefix(show.id, take)),
            s3=S3Target(
                bucket=target.bucket,
                access_key=target.access_key or "",
                secret=target.secret_key.get_secret_value() if target.secret_key else "",
                region=target.region or "",
                endpoint=target.endpoint or "",
                force_path_style=target.force_path_style,
            )
            if target.kind == "s3" and target.bucket
            else None,
        )
