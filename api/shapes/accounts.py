"""What is asked and told when somebody logs in."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from api.shapes.common import Asked, Line, Name, Told, published
from api.shapes.users import UserResponse

#: The longest address there can be (RFC 5321).
EMAIL_CHARACTERS_MAX = 320


def _email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not (local and at and domain) or any(each.isspace() for each in text):
        raise PydanticCustomError("value_error", "An e-mail address has one @ and no spaces")
    return text


#: Looked up, never written to: no stricter than what was ever let in.
Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=EMAIL_CHARACTERS_MAX),
    AfterValidator(_email),
    Field(json_schema_extra={"format": "email"}),
]
#: argon2 takes any; nobody types more.
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024), published("^[^\x00]*$")]
DisplayName = Annotated[Name, StringConstraints(max_length=50)]


class LoginRequest(Asked):
    """E-mail and password."""

    email: Email = Field(examples=["host@example.com"])
    password: Password


class RefreshTokenRequest(Asked):
    """The newest refresh token of a login."""

    refresh_token: Line


class LogoutRequest(Asked):
    """Any refresh token of the login that shall end."""

    refresh_token: Line


class AuthResponse(Told):
    """Who somebody is, and what opens the API for them."""

    user: UserResponse
    access_token: str
    refresh_token: str


class ViewerRegisterRequest(Asked):
    """What a viewer wants to be called."""

    display_name: DisplayName = Field(examples=["Alice"])


class ViewerRegisterResponse(Told):
    """A new viewer; `device_token` is shown once and lets the device in again."""

    user: UserResponse
    access_token: str
    refresh_token: str
    device_token: str


class DeviceLoginRequest(Asked):
    """The device token that registering gave."""

    device_token: Line


class GenerateAuthCodeRequest(Asked):
    """Which session the code leads to."""

    session_id: Annotated[
        str,
        StringConstraints(min_length=1, max_length=64),
        Field(json_schema_extra={"format": "uuid"}),
    ]


class GenerateAuthCodeResponse(Told):
    """A code that carries the caller's login to another device, once."""

    code: str
    expires_in: int = Field(description="Seconds.")


class ExchangeAuthCodeRequest(Asked):
    """The code that another device was given."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=64), published("^[^\x00]*$")]


class ExchangeAuthCodeResponse(AuthResponse):
    """The login the code carried, and the session it leads to."""

    session_id: str
