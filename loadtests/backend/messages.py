"""What /v1 is sent and what it answers: bodies, their types and bounds. `openapi` describes them, `api` checks them.

Bounds are of form, not of law: whether the numbers can be true is for `checks` to say.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

KEY_PATTERN = r"^[A-Za-z0-9_-]{8,64}$"  # Idempotency-Key
DEVICE_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"  # X-Device
CORRECTION_PATTERN = r"^[!-~]([ -~]{0,498}[!-~])?$"  # X-Correction, of a photo that replaces another
SITE_PATTERN = r"^[0-9]{4,6}$"
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"


def _named(schema: dict[str, Any]) -> None:
    """A dictionary whose names have a pattern, so that JSON Schema refuses other names instead of letting them be."""
    ((pattern, value),) = schema.pop("patternProperties").items()
    schema["additionalProperties"] = value
    schema["propertyNames"] = {**schema.get("propertyNames", {}), "pattern": pattern}


SiteCode = Annotated[str, StringConstraints(pattern=SITE_PATTERN)]
Group = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PRINTABLE)]
People = Annotated[int, Field(ge=0, le=99_999)]
Delegates = Annotated[int, Field(ge=0, le=999)]
Counts = Annotated[
    dict[Group, People], Field(max_length=64, examples=[{"sanders": 31, "warren": 24}], json_schema_extra=_named)
]
Awards = Annotated[
    dict[Group, Delegates], Field(max_length=64, examples=[{"sanders": 3, "warren": 2}], json_schema_extra=_named)
]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PRINTABLE)]
Version = Annotated[int, Field(ge=0, le=999_999)]
Correction = Annotated[Reason | None, Field(default=None, description="Why a step that was sent before changes.")]


class _Body(BaseModel):
    """What a request holds: nothing that is not expected, no number in quotes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LogIn(_Body):
    """Who somebody is; the header X-Device says on which device."""

    user: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.@-]+$")]
    pin: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PRINTABLE), Field(repr=False)]
    second_factor: Annotated[
        str | None,
        Field(default=None, pattern=r"^[0-9]{6}$", repr=False, description="One-time code, where the account has one."),
    ]


class Open(_Body):
    """The head count; N is frozen with it."""

    attendees: People
    correction: Correction


class FirstAlignment(_Body):
    """People in each group after the first alignment."""

    counts: Counts
    correction: Correction


class Final(_Body):
    """People and delegates of each group at the end."""

    counts: Counts
    delegates: Awards
    correction: Correction


class Entry(_Body):
    """A whole report, keyed by the hotline."""

    site: SiteCode
    attendees: People
    first_alignment: Counts
    final: Counts
    delegates: Awards


class Approve(_Body):
    """The version that the reviewer looked at."""

    version: Version


class Return(_Body):
    """The version that the reviewer looked at, and what is asked of the chair."""

    version: Version
    reason: Reason


class Choose(_Body):
    """The version that the reviewer looked at, and which of the two entries is right."""

    version: Version
    entry: Literal[1, 2]


class Publication(_Body):
    """Whether results are held back from here on."""

    held: bool


class Page(BaseModel):
    """Where a list goes on: `after` is the `next` of the page before."""

    model_config = ConfigDict(frozen=True)

    limit: Annotated[int, Field(default=100, ge=1, le=1000, description="Rows of a page.")]


class EventPage(Page):
    """Where the audit log goes on."""

    after: Annotated[int, Field(default=0, ge=0, le=2**53, description="The `next` of the page before.")]


class SitePage(Page):
    """Where a list of sites goes on."""

    after: Annotated[str, Field(default="", pattern=r"^[0-9]{0,6}$", description="The `next` of the page before.")]


class VersionPage(Page):
    """Where the list of versions goes on."""

    after: Annotated[
        str, Field(default="", pattern=r"^([0-9]{4,6}-[0-9]{1,6})?$", description="The `next` of the page before.")
    ]


class Problem(BaseModel):
    """One thing that is wrong."""

    code: str
    message: str
    field: str | None = None


class Problems(BaseModel):
    """Every answer that is not a success."""

    errors: Annotated[list[Problem], Field(min_length=1)]


class Warned(BaseModel):
    """Something that a reviewer should see."""

    code: str
    message: str
    field: str | None = None


class SiteFacts(BaseModel):
    """A chair's own site."""

    code: SiteCode
    id: str
    county: str
    precinct: str
    delegates: int
    satellite: bool
    groups: list[str]


class Token(BaseModel):
    """What proves a log-in for half an hour, together with the same X-Device."""

    token: str
    expires_at: str
    role: str
    site: SiteFacts | None


class Written(BaseModel):
    """A write that is on the disk. Some steps say more: `entry`, `differences`, `sha256`, `bytes`."""

    model_config = ConfigDict(extra="allow")

    site: str
    version: int
    step: str
    state: str
    content_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    warnings: list[Warned]
    recorded_at: str


class Published(BaseModel):
    """The administrator's word on results, stored."""

    model_config = ConfigDict(extra="allow")

    held: bool


class Photo(BaseModel):
    """A photo that is held."""

    model_config = ConfigDict(extra="allow")

    sha256: str
    bytes: int


class Report(BaseModel):
    """How far a site's report is: what a chair needs to go on."""

    site: str
    state: str
    version: int
    attendees: int | None
    first_alignment: dict[str, int] | None
    final: dict[str, int] | None
    delegates: dict[str, int] | None
    photo: Photo | None
    warnings: list[Warned]
    next: Literal["open", "first-alignment", "final", "photo"] | None


class Entered(BaseModel):
    """What one clerk keyed."""

    by: str
    attendees: int
    first_alignment: dict[str, int]
    final: dict[str, int]
    delegates: dict[str, int]


class Difference(BaseModel):
    """A field that two clerks keyed differently."""

    field: str
    entry_1: int
    entry_2: int


class Waiting(BaseModel):
    """A record that waits for a reviewer."""

    site: str
    version: int
    state: str
    approved_by: str | None
    attendees: int | None
    first_alignment: dict[str, int] | None
    final: dict[str, int] | None
    delegates: dict[str, int] | None
    photo: Photo | None
    warnings: list[Warned]
    entries: list[Entered]
    differences: list[Difference]


class Review(BaseModel):
    """A page of what waits; `next` is null at the end."""

    reports: list[Waiting]
    next: str | None


class Stored(BaseModel):
    """One write that was accepted, as it is stored."""

    id: str
    site: str
    version: int
    step: str
    actor: str
    role: str
    key: str
    content_sha256: str
    at: str
    state: str


class Records(BaseModel):
    """A page of versions, by site and number; `next` is null at the end."""

    records: list[Stored]
    next: str | None


class Audited(BaseModel):
    """A line of the audit log."""

    id: int
    at: str
    kind: str
    actor: str
    site: str | None
    version: int | None
    content: dict[str, Any]


class Audit(BaseModel):
    """A page of the audit log; `next` is null at its end for now."""

    events: list[Audited]
    next: int | None
