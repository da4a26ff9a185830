"""GET /search follows the rules of the store: scopes, errors in words, and waiting for one's own write."""

import asyncio

import httpx
import pytest

from api.services import Services
from store import courses, goals
from store.courses import NewCourse
from store.database import Database
from store.goals import NewGoal
from store.principal import Principal
from tests.store.searching import index_everything


@pytest.fixture
async def indexed(database: Database, services: Services, learner: Principal, other_learner: Principal) -> None:
    for who, title in ((learner, "Learn Go channels"), (other_learner, "Learn Go secretly")):
        async with database.transaction(who) as tx:
            await goals.create(tx, NewGoal(title=title, description=f"{title} this spring"))
    await index_everything(database, services.embedder)


async def test_a_search_answers_hits_with_their_provenance(ada: httpx.AsyncClient, indexed: None) -> None:
    answer = await ada.get("/search", params={"q": "go channels", "explain": True})
    assert answer.status_code == 200
    body = answer.json()
    (hit,) = body["hits"]
    assert (hit["title"], hit["snippet"], hit["own"]) == ("Learn Go channels", "Learn Go channels this spring", True)
    assert hit["cosine"] is not None
    assert "channels" in hit["matched"]
    assert body["provenance"]["route"] == "exact"
    assert body["provenance"]["degraded"] is True
    assert body["waited"] is None
    assert "embedding" not in answer.text


async def test_nobody_searches_without_a_token(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/search", params={"q": "go"})).status_code == 401


@pytest.mark.parametrize(
    ("params", "parameter"),
    [
        ({}, "q"), ({"q": " "}, "q"), ({"q": "x" * 2001}, "q"), ({"q": "go", "k": "0"}, "k"),
        ({"q": "go", "k": "51"}, "k"), ({"q": "go", "scope": "everyone"}, "scope"),
        ({"q": "go", "types": "user"}, "types"),
        ({"q": "go", "types": ""}, "types"), ({"q": "go", "diversity": "nan"}, "diversity"),
        ({"q": "go", "wait_for": "goal"}, "wait_for"), ({"q": "go", "user_id": "bob"}, "user_id"),
        ({"q": "go", "since": "yesterday"}, "since"),
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_named(ada: httpx.AsyncClient, params: dict[str, str], parameter: str) -> None:
    answer = await ada.get("/search", params=params)
    assert answer.status_code == 422
    assert parameter in answer.text


async def test_a_query_postgresql_cannot_hold_is_the_callers_mistake(ada: httpx.AsyncClient) -> None:
    assert (await ada.get("/search?q=a%00b")).status_code == 422


async def test_a_course_of_others_is_refused_and_says_what_is_left(ada: httpx.AsyncClient) -> None:
    answer = await ada.get("/search", params={"q": "go", "scope": "course", "course_id": "elsewhere"})
    assert answer.status_code == 403
    assert "scope user" in answer.json()["detail"]


async def test_a_caller_waits_for_what_it_wrote(
    ada: httpx.AsyncClient, database: Database, services: Services, learner: Principal, indexed: None
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Brew kombucha"))
    question = {"q": "kombucha", "wait_for": f"goal:{goal.id}:{goal.version}", "k": "1"}
    asking = asyncio.create_task(ada.get("/search", params=question))
    await index_everything(database, services.embedder)
    body = (await asking).json()
    assert (body["waited"], body["hits"][0]["title"]) == (True, "Brew kombucha")


async def test_members_find_what_their_course_shares(
    ada: httpx.AsyncClient, database: Database, services: Services, learner: Principal, instructor: Principal
) -> None:
    async with database.transaction(instructor) as tx:
        course = await courses.create(tx, NewCourse(title="Web APIs", documentation="# Testing\n\nWith tables.\n"))
        await courses.publish(tx, course.id)
    async with database.transaction(learner) as tx:
        await courses.enroll(tx, course.id)
    await index_everything(database, services.embedder)
    answer = await ada.get("/search", params={"q": "testing", "scope": "course", "types": "course, goal"})
    (hit,) = answer.json()["hits"]
    assert (hit["heading"], hit["line_start"], hit["own"]) == ("Web APIs > Testing", 3, False)
