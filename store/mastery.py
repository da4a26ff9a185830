"""What a learner has shown they can do: one memory card per skill, moved by the outcomes of validations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from fsrs import Card, Rating, Scheduler
from psycopg.types.json import Jsonb

from store.database import Transaction


@dataclass(frozen=True, slots=True)
class Mastery:
    """A skill of the caller: its card, when it is due, and the counts behind `estimate`."""

    skill: str
    card: dict[str, Any]
    due_at: datetime
    successes: float
    failures: float
    last_evidence_at: datetime

    @property
    def estimate(self) -> float:
        """The chance that the next try succeeds, from all tries so far; a half before the first."""
        return (self.successes + 1) / (self.successes + self.failures + 2)

    def recall(self, now: datetime) -> float:
        """The chance that the skill is still remembered at `now`."""
        return Scheduler(enable_fuzzing=False).get_card_retrievability(Card.from_dict(self.card), now)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The outcome of one validated snapshot for one skill."""

    skill: str
    snapshot_id: UUID
    passed: bool
    hint_level: int
    first_try: bool


_BEGIN: LiteralString = """
INSERT INTO skill_mastery (user_id, skill, card, due_at, successes, failures, last_evidence_at)
VALUES (%(user_id)s, %(skill)s, %(card)s, %(now)s, 0, 0, %(now)s)
ON CONFLICT (user_id, skill) DO NOTHING
"""

_LOCKED: LiteralString = "SELECT card FROM skill_mastery WHERE user_id = %s AND skill = %s FOR UPDATE"

_SAVE: LiteralString = """
UPDATE skill_mastery SET
    card = %(card)s, due_at = %(due_at)s, last_evidence_at = %(now)s,
    successes = successes + %(passed)s, failures = failures + %(failed)s
WHERE user_id = %(user_id)s AND skill = %(skill)s
"""


def rating(evidence: Evidence) -> Rating:
    """How well it went: a pass that needed the telling hints counts as hard, one without any at first try as easy."""
    if not evidence.passed:
        return Rating.Again
    if evidence.hint_level >= 2:
        return Rating.Hard
    return Rating.Easy if evidence.first_try and evidence.hint_level == 0 else Rating.Good


async def record(tx: Transaction, evidence: Evidence, now: datetime) -> bool:
    """Move the caller's card of a skill; False when this snapshot had counted for it before.

    The evidence row is what makes a repeated commit harmless: it is written first, and a second one changes nothing.
    """
    grade = rating(evidence)
    fresh = await tx.execute(
        "INSERT INTO mastery_evidence (user_id, skill, snapshot_id, rating, hint_level, recorded_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (user_id, skill, snapshot_id) DO NOTHING",
        [tx.principal.user_id, evidence.skill, evidence.snapshot_id, grade.value, evidence.hint_level, now],
    )
    if not fresh:
        return False
    mine = {"user_id": tx.principal.user_id, "skill": evidence.skill, "now": now}
    # A row that is not there cannot be locked: two first outcomes at once would each begin from nothing.
    await tx.execute(_BEGIN, {**mine, "card": Jsonb(Card(card_id=1, due=now).to_dict())})
    known: dict[str, Any] = await tx.fetch_value(_LOCKED, [tx.principal.user_id, evidence.skill])
    card, _ = Scheduler(enable_fuzzing=False).review_card(Card.from_dict(known), grade, now)  # pyright: ignore[reportArgumentType]
    outcome = {"passed": int(evidence.passed), "failed": int(not evidence.passed)}
    await tx.execute(_SAVE, {**mine, **outcome, "card": Jsonb(card.to_dict()), "due_at": card.due})
    return True


async def all_of_caller(tx: Transaction, limit: int = 500) -> Sequence[Mastery]:
    """Return the caller's skills, those due first."""
    return await tx.fetch_all(
        "SELECT skill, card, due_at, successes, failures, last_evidence_at FROM skill_mastery"
        " WHERE user_id = %s ORDER BY due_at, skill LIMIT %s",
        [tx.principal.user_id, limit],
        row=Mastery,
    )
