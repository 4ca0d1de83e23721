"""Envelopes, ETags, limits and the catalogue of problems."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from api import limits
from api.answers import encode, envelope, etag_of, is_known
from api.limits import Limit
from api.problems import CATALOGUE, Problem, document
from api.shapes.common import is_id
from api.shapes.presets import DEFAULTS, CreatePresetRequest, PresetResponse, preset_document
from api.shapes.users import UserResponse
from orchestration.models import Preset
from orchestration.states import Phase


def test_values_are_written_as_the_contract_says() -> None:
    """Ids and words as text, times in UTC with a Z, models as their members."""
    an_id = uuid.uuid4()
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    user = UserResponse(
        id=an_id,
        external_user_id=an_id,
        organization_id=an_id,
        email=None,
        username="Ada",
        role="host",
        is_active=True,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    said = json.loads(encode({"id": an_id, "at": noon, "phase": Phase.LIVE, "user": user}))

    assert said["id"] == str(an_id)
    assert datetime.fromisoformat(said["at"]) == noon
    assert said["phase"] == "live"
    assert said["user"]["created_at"] == "2026-01-01T00:00:00Z"
    with pytest.raises(TypeError):
        encode(object())


def test_the_envelope_is_the_contracts() -> None:
    said = json.loads(envelope(b'{"a":1}'))

    assert said == {"success": True, "data": {"a": 1}, "timestamp": said["timestamp"]}
    assert isinstance(said["timestamp"], int)


def test_a_tag_names_version_and_bytes() -> None:
    """The version for If-Match, the bytes for If-None-Match."""
    tag = etag_of(7, b"a")

    assert tag != etag_of(7, b"b")
    assert tag.startswith('"7-')
    assert etag_of(7, b"b").startswith('"7-')
    for known in (tag, f"W/{tag}", f'"x", W/{tag}', "*"):
        assert is_known(tag, known)
    for other in (None, "", '"7-"', "7", tag.strip('"')):
        assert not is_known(tag, other)


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at once, then as many as flow in; Retry-After says when."""
    now = 1000.0
    monkeypatch.setattr(limits, "monotonic", lambda: now)
    limit = Limit(per_second=0.5, burst=2)

    limit.take("a")
    limit.take("a")
    with pytest.raises(Problem) as refused:
        limit.take("a")
    limit.take("b")

    seconds = int(refused.value.headers["Retry-After"])
    now += seconds
    limit.take("a")
    assert seconds <= 3


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that asked longest ago is forgotten, which is to its advantage."""
    monkeypatch.setattr(limits, "BUCKETS_MAX", 2)
    limit = Limit(per_second=0.001, burst=1)

    for who in ("a", "b", "c"):
        limit.take(who)

    limit.take("a")
    with pytest.raises(Problem):
        limit.take("c")


def test_the_catalogue_reads_well() -> None:
    """Slugs are words, statuses are errors, and every sentence ends."""
    for slug, kind in CATALOGUE.items():
        assert re.fullmatch("[a-z]+(-[a-z0-9]+)*", slug)
        assert 400 <= kind.status < 600
        assert kind.title
        assert kind.meaning.endswith(".")
        assert kind.remedy.endswith(".")


def test_a_problem_says_it_twice() -> None:
    """For RFC 9457 and for the contract; extra members never hide the fixed ones."""
    problem = Problem("room-live", "It is on air.", session_id="7", status="hidden")

    said = document(problem, "request-1", "/v1")

    assert said["type"] == "/v1/problems/room-live"
    assert (said["success"], said["error"], said["message"]) == (
        False,
        "room-live",
        "It is on air.",
    )
    assert (said["status"], said["title"], said["detail"]) == (409, "Room is live", "It is on air.")
    assert (said["instance"], said["session_id"]) == ("request-1", "7")


def test_an_id_is_a_uuid_and_nothing_else() -> None:
    assert is_id("3c90c3cc-0d44-4b50-8888-8dd25736052a")
    assert is_id("3C90C3CC-0D44-4B50-8888-8DD25736052A")
    for other in (
        "3c90c3cc0d444b5088888dd25736052a",
        "{3c90c3cc-0d44-4b50-8888-8dd25736052a}",
        "3c90c3cc-0d44-4b50-8888-8dd25736052a\n",
        "\u0663c90c3cc-0d44-4b50-8888-8dd25736052a",
        "",
    ):
        assert not is_id(other)


def test_every_term_of_a_preset_is_in_every_shape() -> None:
    """A new term cannot be forgotten in the request, the answer or the defaults."""
    columns = {"id", "user_id", "library_id", "name", "type", "is_default"}
    times = {"created_at", "updated_at"}
    told = PresetResponse.model_fields.keys()
    asked = CreatePresetRequest.model_fields

    assert told == columns | times | DEFAULTS.keys()
    assert asked.keys() == {"name", "type", "is_default"} | DEFAULTS.keys()
    for name, default in DEFAULTS.items():
        if not asked[name].is_required():
            assert asked[name].default == default


def test_an_old_preset_gets_what_was_added_since() -> None:
    """Its terms are what was stored; what was not known then has its default."""
    preset = Preset(
        organization_id=uuid.uuid4(),
        user_id=uuid.uuid4(),
        name="Old",
        type="rtmp",
        terms={"chat_enabled": False},
    )

    said = preset_document(preset)

    PresetResponse.model_validate_json(json.dumps(said))
    assert said["chat_enabled"] is False
    assert said["stage_enabled"] is True
