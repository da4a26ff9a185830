"""The shape of a plan as a model may propose it: without ids, order, dates and statuses, which code makes."""

import re
import unicodedata
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["read", "practice", "build", "review", "assess"]

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
# No part of a mark may hold another mark's beginning, or a text of nothing but beginnings would be searched for hours.
_MARKUP = re.compile(r"!?\[([^\[\]]*)\]\([^)\[]*\)|<[^<>\n]{1,500}>")
_ADDRESS = re.compile(r"\b(?:[a-z][a-z0-9+.-]{1,20}://|www\.|javascript:|data:|command:)\S+", re.IGNORECASE)


def plain(text: str, limit: int = 500) -> str:
    """Return text fit to be shown and stored: no hidden characters, no markup that loads anything, no addresses.

    What a model writes after reading other people's text may carry something out through a link or an image.
    """
    shown = _HIDDEN.sub("", unicodedata.normalize("NFC", text))
    shown = _ADDRESS.sub("[link removed]", _MARKUP.sub(r"\1", shown))
    return " ".join(shown.split())[:limit]


class Strict(BaseModel):
    """A model's answer: fields nobody asked for are an error it is shown."""

    model_config = ConfigDict(extra="forbid")


class TaskDraft(Strict):
    """One task of a proposed plan."""

    key: str = Field(description="Short unique name within this plan, such as t3. Keep the key of an existing task.")
    title: str = Field(description="Makes sense on its own, without the rest of the plan. At most 160 characters.")
    kind: Kind
    why: str = Field(description="One sentence: what this task contributes to the goal.")
    done_when: list[str] = Field(description="1 to 4 facts one can observe, such as 'all 12 exercises pass'.")
    est_minutes: int = Field(description="Honest working time, 15 to 240. Split what takes longer.")
    skills: list[str] = Field(description="1 to 4 skills it trains, in a few words each.")
    depends_on: list[str] = Field(description="Keys that must be finished first. Only what is really needed.")
    sources: list[str] = Field(description="Ids of the evidence this task rests on. Empty when there is none.")

    def cleaned(self) -> "TaskDraft":
        """Return the task with every text made plain."""
        return TaskDraft(
            key=plain(self.key, 40),
            title=plain(self.title, 200),
            kind=self.kind,
            why=plain(self.why),
            done_when=[plain(item, 300) for item in self.done_when if item.strip()],
            est_minutes=self.est_minutes,
            skills=list(dict.fromkeys(plain(item, 60) for item in self.skills if item.strip())),
            depends_on=list(dict.fromkeys(plain(item, 40) for item in self.depends_on)),
            sources=list(dict.fromkeys(plain(item, 40) for item in self.sources)),
        )


class PlanDraft(Strict):
    """A proposed plan."""

    title: str = Field(description="The goal in a few words, as the learner would say it.")
    outcome: str = Field(description="What the learner will be able to show at the end.")
    assumptions: list[str] = Field(description="What you had to assume about the learner, time or level.")
    tasks: list[TaskDraft] = Field(description="2 to 12 tasks; at least one of kind assess.")
    not_doing: list[str] = Field(description="What is left out on purpose.")

    def cleaned(self) -> "PlanDraft":
        """Return the plan with every text made plain."""
        return PlanDraft(
            title=plain(self.title, 200),
            outcome=plain(self.outcome),
            assumptions=[plain(item) for item in self.assumptions[:10] if item.strip()],
            tasks=[task.cleaned() for task in self.tasks],
            not_doing=[plain(item) for item in self.not_doing[:10] if item.strip()],
        )


class Understanding(Strict):
    """What a message of the learner asks for."""

    kind: Literal["plan", "manage", "unusable"] = Field(
        description="plan: they want a way to reach something new, or to change a whole plan. manage: they want to see "
        "or change single goals, tasks, progress or history. unusable: no aim can be found in it."
    )
    objective: str = Field(description="For plan: the aim in their words. Else empty.")
    deadline: str | None = Field(description="YYYY-MM-DD if they name one, counted from today. Else null.")
    hours_per_week: float | None = Field(description="If they say so. Else null.")
    level: Literal["beginner", "intermediate", "advanced"] | None
    constraints: list[str] = Field(description="Wishes that limit the plan, in their words.")
