"""Who is asking, and where a change comes from."""

from dataclasses import dataclass, field
from uuid import UUID

from store.types import Role, new_id


@dataclass(frozen=True, slots=True)
class Principal:
    """The identity every transaction runs under. It comes from a verified token, never from a request's content."""

    user_id: str
    role: Role
    courses: tuple[str, ...] = ()
    """Courses an external issuer vouches for, besides the enrollments kept here."""

    def __post_init__(self) -> None:
        if not self.user_id:
            raise ValueError("A principal needs a user id.")


SERVICE = Principal("service", Role.SERVICE)
"""The relays, the reaper and the sign-in code: background work that acts for nobody in particular."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from; recorded in the columns of every event the transaction writes."""

    correlation_id: UUID = field(default_factory=new_id)
    causation_id: UUID | None = None
    thread_id: str | None = None
    run_id: str | None = None
    checkpoint_id: str | None = None
    tool_call_id: str | None = None
    command_key: str | None = None
    """Makes a command idempotent: a second event under the same key is refused by the database."""
    channel: str = "api"
    """How the change came in: api, tool, cli or system."""
