"""Plays a retrieval case: the same search the agents' tools make, as one learner, over an indexed world."""

from typing import TYPE_CHECKING, Any

from evals.labels import labels_of
from evals.runs import Hit
from store.search import Scope, SearchRequest, retrieve
from store.types import EntityType

if TYPE_CHECKING:
    from evals.play import Scene


async def search(scene: "Scene") -> list[Hit]:
    """Search as the case says and return the hits by label; courses bear their own ids."""
    given: dict[str, Any] = scene.sample.input
    request = SearchRequest(
        query=given["query"],
        scope=Scope(given.get("scope", "user")),
        entity_types=tuple(EntityType(each) for each in given["types"])
        if "types" in given
        else SearchRequest("x").entity_types,
        k=int(given.get("k", scene.sample.expect.search.k if scene.sample.expect.search else 5)),
        course_id=given.get("course_id"),
        language=given.get("language"),
        only_validated=bool(given.get("only_validated", False)),
    )
    labels = labels_of(scene.world)
    owners = {label: goal.owner for goal in scene.world.goals for label in
              (goal.key, *(f"{goal.key}/{task.key}" for task in goal.tasks))}  # fmt: skip
    found = await retrieve(lambda: scene.database.transaction(scene.caller), scene.embedder, request)
    return [
        Hit(
            label=labels.get(hit.entity_id, hit.entity_id),
            owner=owners.get(labels.get(hit.entity_id, ""), ""),
            text=f"{hit.title}\n{hit.heading}\n{hit.snippet}",
            score=round(hit.score, 4),
        )
        for hit in found.hits
    ]
