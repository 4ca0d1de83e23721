"""An organization: the tenant that owns hosts, rooms, shows and recordings."""

from sqlmodel import Field

from orchestration.models.columns import Named


class Organization(Named, table=True):
    """Whatever belongs to one organization is 404 for every other one."""

    __tablename__ = "organizations"

    name: str = Field(max_length=255, unique=True)
    #: A suspended organization may read, and change nothing.
    is_suspended: bool = False
