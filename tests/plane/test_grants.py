"""What the tokens of each role may do at the real livekit-server, and what it refuses them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio

from tests.acceptance.caller import Caller
from tests.acceptance.product import Product
from tests.acceptance.show import Show
from tests.plane import grants, signalling, whip
from tests.plane.guests import Guests
from tests.plane.real import announce_with, everything
from tests.system.waits import until

pytestmark = [pytest.mark.media, pytest.mark.asyncio(loop_scope="session")]

PICTURE, SOUND = {"camera"}, {"microphone"}
SCREEN = {"screen_share", "screen_share_audio"}
SOURCES = sorted(PICTURE | SOUND | SCREEN)
ROLES = ("host", "co_host", "moderator", "viewer", "monitor")

# fmt: off
#: Terms of presets, by a name.
PRESETS: dict[str, dict[str, bool]] = {
    "open":      {},
    "no camera": {"host_camera_enabled": False, "onstage_camera_enabled": False},
    "no screen": {"host_screen_share": False, "onstage_screen_share": False},
    # The host's terms are not those of who is on stage, nor the other way round.
    "host only": {"onstage_camera_enabled": False, "onstage_screen_share": False},
}
#: From preset and role to what may be published; nobody else publishes anything.
MAY_PUBLISH: dict[tuple[str, str], set[str]] = {
    ("open", "host"):         PICTURE | SOUND | SCREEN,
    ("open", "co_host"):      PICTURE | SOUND | SCREEN,
    ("no camera", "host"):    SOUND | SCREEN,
    ("no camera", "co_host"): SOUND | SCREEN,
    ("no screen", "host"):    PICTURE | SOUND,
    ("no screen", "co_host"): PICTURE | SOUND,
    ("host only", "host"):    PICTURE | SOUND | SCREEN,
    ("host only", "co_host"): SOUND,
}
#: Who may send data to everybody.
MAY_TELL = {"host", "co_host", "moderator"}
# fmt: on


@dataclass
class Stage:
    """A show on air of each preset, without media, and what each role was given to join it."""

    shows: dict[str, Show]
    told: dict[tuple[str, str], dict[str, Any]]  #: by preset and role: JoinSessionResponse


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(greenroom_on_air: Product) -> AsyncIterator[Stage]:
    """Go live with every preset, and give every role its token."""
    real = greenroom_on_air
    host = await real.host()
    people = {
        name: Caller(real.http, real.url, await real.token("viewer", "--user", name))
        for name in ("co_host", "moderator", "viewer")
    }
    shows, told = {}, {}
    for preset, terms in PRESETS.items():
        show = shows[preset] = await announce_with(host, **terms)
        await show.go_live()
        for role in ("co_host", "moderator"):
            given = {"user_id": id_of(people[role]), "role": role}
            await host.post(f"/sessions/{show.id}/participants", given)
        for role, who in {"host": host, **people}.items():
            told[preset, role] = await who.post(f"/sessions/{show.id}/join")
        told[preset, "monitor"] = await host.get(f"/sessions/{show.id}/monitor")
    yield Stage(shows, told)
    for show in shows.values():
        await show.end()


def id_of(who: Caller) -> str:
    assert who.token is not None
    return str(jwt.decode(who.token, options={"verify_signature": False})["sub"])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("preset", PRESETS)
async def test_a_role_publishes_what_its_preset_allows(
    real: Product, stage: Stage, preset: str, role: str
) -> None:
    """LiveKit itself says no to everything else."""
    told = stage.told[preset, role]
    async with signalling.joined(real.http, told["livekit_url"], told["livekit_token"]) as seat:
        answers = {source: await seat.asks_to_publish(source) for source in SOURCES}
        about_itself = await seat.asks_for_metadata("I am the host")

    allowed = MAY_PUBLISH.get((preset, role), set())
    assert answers == {s: "published" if s in allowed else "NOT_ALLOWED" for s in SOURCES}
    assert about_itself == "NOT_ALLOWED"
    may = seat.joined.participant.permission
    assert (may.can_subscribe, may.can_publish_data) == (True, role in MAY_TELL)
    assert (may.hidden, may.recorder, may.can_update_metadata) == (role == "monitor", False, False)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_no_power_over_the_room(real: Product, stage: Stage, role: str) -> None:
    """Not the host's either: whoever asks, asks Greenroom, and the room stays as it was."""
    show, somebody = stage.shows["open"], stage.told["open", "viewer"]
    token = stage.told["open", role]["livekit_token"]
    async with signalling.joined(
        real.http, somebody["livekit_url"], somebody["livekit_token"]
    ) as seat:
        who = seat.joined.participant.identity
        before = await everything(real, show)

        refused = await grants.refusals(real.livekit.told["url"], token, show.room, who)

        assert refused == dict.fromkeys(grants.POWERS, "unauthenticated")
        assert await everything(real, show) == before
    assert await real.livekit.rooms(f"{show.room}-2") == []


@pytest.mark.parametrize("role", ROLES)
async def test_a_token_opens_its_own_room_only(real: Product, stage: Stage, role: str) -> None:
    """Whoever asks for another room sits in the one the token is for."""
    told, other = stage.told["open", role], stage.shows["no camera"]
    before = await everything(real, other)

    async with signalling.joined(
        real.http, told["livekit_url"], told["livekit_token"], room=other.room
    ) as seat:
        assert seat.joined.room.name == stage.shows["open"].room
        assert await everything(real, other) == before


async def test_a_token_that_is_none_of_ours_opens_nothing(real: Product, stage: Stage) -> None:
    """Changed, signed by somebody else, or old: the door stays shut."""
    told, show = stage.told["open", "viewer"], stage.shows["open"]
    token, key = told["livekit_token"], real.livekit.told["api_key"]
    claims = jwt.decode(token, options={"verify_signature": False})
    as_host = claims | {"video": claims["video"] | {"canPublish": True, "roomAdmin": True}}
    head, _, signature = token.split(".")
    forged = jwt.encode(
        as_host, "a secret that is not the one of this server", headers={"kid": key}
    )
    old = jwt.encode(claims | {"exp": claims["nbf"] - 120}, real.livekit.told["api_secret"])
    before = await everything(real, show)

    for bad in (f"{head}.{forged.split('.')[1]}.{signature}", forged, old, "nonsense", ""):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with signalling.joined(real.http, told["livekit_url"], bad):
                pass
        assert refusal.value.status == 401, bad
    assert await everything(real, show) == before


@pytest.mark.browser
async def test_data_is_heard_from_those_who_may_send_it(real: Product, stage: Stage) -> None:
    """All five by livekit-client in Chromium: they see each other, but nobody sees the monitor."""
    show = stage.shows["open"]
    async with whip.studio() as page:
        guests = await Guests(page).begin()
        for role in ROLES:
            assert await guests.join(role, stage.told["open", role]) == "joined"
        # Those who may not go first: what the others say is heard after what must not be.
        for role in sorted(ROLES, key=lambda role: role in MAY_TELL):
            await guests.tell(role, f"from the {role}")
        expected = {f"from the {role}" for role in MAY_TELL}

        async def all_heard() -> bool:
            return expected <= {text for _, text in await guests.heard("viewer")}

        await until(all_heard, what="everybody who may be heard")
        assert {text for _, text in await guests.heard("viewer")} == expected
        assert "insufficient permissions" in await guests.publish("viewer")
        identities = {person.identity for person in await real.livekit.participants(show.room)}
        (monitor,) = [who for who in identities if who.endswith("#monitor")]
        for role in ROLES:
            assert monitor not in await guests.sees(role)
        assert len(await guests.sees("monitor")) == len(await guests.sees("viewer")) + 1 == 4
