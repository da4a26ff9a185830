"""Search returns the nearest rows of a scope, only rows its caller may see, and says how it found them."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.embedders import Embedders
from agents.embedders_hash import HashEmbedder
from store import courses, goals, snapshots
from store.courses import Course, NewCourse
from store.database import Database
from store.errors import Forbidden, Invalid
from store.principal import Principal
from store.search import Hit, Mode, Route, Scope, SearchRequest, SearchResult, retrieve
from store.snapshots import NewSnapshot, Validation
from store.types import EntityType, Role, ValidationStatus, Visibility
from store.vectors import Embedder
from tests.store.conftest import GoalFactory, TaskFactory
from tests.store.searching import TopicEmbedder, WatchedEmbedder, index_everything

GOALS = (EntityType.GOAL,)
CODE = (EntityType.CODE_SNAPSHOT,)


@pytest.fixture
def embedder() -> WatchedEmbedder:
    return WatchedEmbedder()


async def ask(
    database: Database, who: Principal, embedder: Embedder, query: str, *, explain: bool = False, **more: object
) -> SearchResult:
    # Two people suffice to see who finds what; that small groups show nothing has a test of its own.
    request = SearchRequest(query, **{"smallest_group": 1, **more})  # pyright: ignore[reportArgumentType]
    return await retrieve(lambda: database.transaction(who), embedder, request, explain=explain)


def titles(result: SearchResult) -> list[str]:
    return [hit.title for hit in result.hits]


async def test_the_own_scope_finds_own_rows_only(
    database: Database, embedder: WatchedEmbedder, learner: Principal, other_learner: Principal, make_goal: GoalFactory
) -> None:
    await make_goal(title="Learn Go channels")
    await make_goal(other_learner, title="Learn Go channels")
    await index_everything(database, embedder)
    result = await ask(database, learner, embedder, "go channels")
    (hit,) = result.hits
    assert (hit.title, hit.own, hit.scope, hit.entity_type) == ("Learn Go channels", True, Scope.USER, "goal")
    assert (result.provenance.model, result.provenance.degraded, result.provenance.short) == ("hash-v1", True, True)


async def test_the_course_scope_finds_what_members_share_without_saying_who(
    database: Database, embedder: WatchedEmbedder, course: Course, learner: Principal, other_learner: Principal,
    make_goal: GoalFactory,
) -> None:  # fmt: skip
    await make_goal(other_learner, title="Build REST API", course_id=course.id, description="ask bob@example.org")
    await make_goal(other_learner, title="Build REST API alone", course_id=course.id, visibility=Visibility.PRIVATE)
    await index_everything(database, embedder)
    result = await ask(database, learner, embedder, "rest api", scope=Scope.COURSE, entity_types=GOALS)
    (hit,) = result.hits
    assert (hit.title, hit.own, hit.snippet) == ("Build REST API", False, "ask [address]")
    assert other_learner.user_id not in repr(hit)
    assert hit.score == round(hit.score, 2)


async def test_who_left_the_course_sees_nothing_of_it(
    database: Database, embedder: WatchedEmbedder, course: Course, learner: Principal, other_learner: Principal,
    make_goal: GoalFactory,
) -> None:  # fmt: skip
    await make_goal(other_learner, title="Build REST API", course_id=course.id)
    await index_everything(database, embedder)
    async with database.transaction(learner) as tx:
        await courses.leave(tx, course.id)
    with pytest.raises(Forbidden, match="You are not in"):
        await ask(database, learner, embedder, "rest api", scope=Scope.COURSE, course_id=course.id)
    with pytest.raises(Forbidden, match="You are not in any course"):
        await ask(database, learner, embedder, "rest api", scope=Scope.COURSE)


async def test_a_course_that_does_not_exist_and_one_of_others_are_refused_alike(
    database: Database, embedder: WatchedEmbedder, course: Course, instructor: Principal
) -> None:
    stranger = Principal("stranger", Role.LEARNER)
    refusals: list[str] = []
    for course_id in (course.id, "nowhere"):
        with pytest.raises(Forbidden) as caught:
            await ask(database, stranger, embedder, "x", scope=Scope.COURSE, course_id=course_id)
        refusals.append(str(caught.value).replace(course_id, "?"))
    assert refusals[0] == refusals[1]


async def test_an_unpublished_course_is_its_owners_alone(
    database: Database, embedder: WatchedEmbedder, learner: Principal, instructor: Principal
) -> None:
    async with database.transaction(instructor) as tx:
        draft = await courses.create(tx, NewCourse(id="draft", title="Secret syllabus", documentation="# Week 1\n\nGo"))
        await courses.enroll(tx, draft.id, learner.user_id)
    await index_everything(database, embedder)
    with pytest.raises(Forbidden):
        await ask(database, learner, embedder, "syllabus", scope=Scope.COURSE, course_id="draft")
    for scope in (Scope.USER, Scope.GLOBAL):
        assert titles(await ask(database, learner, embedder, "secret syllabus", scope=scope)) == []
    assert titles(await ask(database, instructor, embedder, "secret syllabus week")) == ["Secret syllabus"]


async def test_an_external_course_is_open_to_those_whose_token_claims_it(
    database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory
) -> None:
    ada, bob = (Principal(name, Role.LEARNER, courses=("elsewhere",)) for name in ("ada", "bob"))
    await make_goal(ada, title="Shared aim", course_id="elsewhere", visibility=Visibility.COURSE)
    await index_everything(database, embedder)
    result = await ask(database, bob, embedder, "aim", scope=Scope.COURSE, course_id="elsewhere")
    assert titles(result) == ["Shared aim"]


async def test_documentation_is_cited_by_its_place(
    database: Database, embedder: WatchedEmbedder, learner: Principal, instructor: Principal
) -> None:
    documentation = "# Setup\n\nInstall the compiler.\n\n# Testing\n\nWrite table driven tests with subtests.\n"
    async with database.transaction(instructor) as tx:
        made = await courses.create(tx, NewCourse(title="Go", documentation=documentation))
        await courses.publish(tx, made.id)
    await index_everything(database, embedder)
    result = await ask(database, learner, embedder, "table driven tests", scope=Scope.GLOBAL, chunks=True, k=2)
    best = result.hits[0]
    assert (best.title, best.heading, best.line_start, best.line_end) == ("Go", "Go > Testing", 7, 7)
    assert len(result.hits) == 2


async def test_a_deleted_row_and_a_withdrawn_one_vanish_before_the_index_knows(
    database: Database, embedder: WatchedEmbedder, course: Course, learner: Principal, other_learner: Principal,
    make_goal: GoalFactory,
) -> None:  # fmt: skip
    deleted, withdrawn, kept = [
        await make_goal(other_learner, title=f"API {number}", course_id=course.id) for number in range(3)
    ]
    await index_everything(database, embedder)
    async with database.transaction(other_learner) as tx:
        await goals.delete(tx, deleted.id)
        await goals.update(tx, withdrawn.id, {"visibility": Visibility.PRIVATE})
    result = await ask(database, learner, embedder, "api", scope=Scope.COURSE, entity_types=GOALS)
    assert [hit.entity_id for hit in result.hits] == [str(kept.id)]


async def test_stale_rows_in_front_do_not_shorten_the_answer(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory
) -> None:
    doomed = [await make_goal(title=f"exact words {n}") for n in range(80)]
    for number in range(12):
        await make_goal(title=f"other {number} words")
    await index_everything(database, embedder)
    async with database.transaction(learner) as tx:
        for goal in doomed:
            await goals.delete(tx, goal.id)
    result = await ask(database, learner, embedder, "exact words", k=10)
    assert len(result.hits) == 10
    assert not result.provenance.short


async def test_code_filters_by_validation_and_language(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        good = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="good.py", content="def add(): ..."))
        await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="raw.py", content="def add(): ..."))
        await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="add.go", content="func add() {}"))
        await snapshots.record_validation(tx, good.id, Validation(status=ValidationStatus.PASSED, score=1.0))
    await index_everything(database, embedder)
    passed = await ask(database, learner, embedder, "add", entity_types=CODE, only_validated=True)
    assert [(hit.title, hit.validated) for hit in passed.hits] == [("good.py", True)]
    assert titles(await ask(database, learner, embedder, "add", entity_types=CODE, language="go")) == ["add.go"]


async def test_versions_of_one_file_are_one_hit(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        for number in range(5):
            new = NewSnapshot(task_id=task.id, file_path="a.py", content=f"def parse(): return {number}")
            await snapshots.create(tx, new)
    await index_everything(database, embedder)
    assert len((await ask(database, learner, embedder, "parse", entity_types=CODE)).hits) == 1


async def test_freshness_asks_for_text_written_since(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory
) -> None:
    await make_goal()
    await index_everything(database, embedder)
    hour = timedelta(hours=1)
    assert (await ask(database, learner, embedder, "go", since=datetime.now(UTC) - hour)).hits
    assert not (await ask(database, learner, embedder, "go", since=datetime.now(UTC) + hour)).hits


async def test_one_author_does_not_fill_a_shared_scope_while_others_have_something(
    database: Database, embedder: WatchedEmbedder, course: Course, learner: Principal, other_learner: Principal,
    instructor: Principal, make_goal: GoalFactory,
) -> None:  # fmt: skip
    for number in range(30):
        await make_goal(other_learner, title=f"learn sql joins {number}", course_id=course.id)
    quiet = [Principal(f"quiet-{number}", Role.LEARNER) for number in range(8)]
    for person in quiet:
        async with database.transaction(person) as tx:
            await courses.enroll(tx, course.id)
        await make_goal(person, title=f"sql for {person.user_id}", course_id=course.id)
    await index_everything(database, embedder)
    capped = await ask(database, learner, embedder, "learn sql joins", scope=Scope.COURSE, entity_types=GOALS)
    assert sum(title.startswith("learn sql joins") for title in titles(capped)) == 2
    assert len(capped.hits) == 10
    wide = await ask(database, learner, embedder, "learn sql joins", scope=Scope.COURSE, entity_types=GOALS, k=20)
    assert len(wide.hits) == 20, "k asked is k returned when there are not enough other authors"
    assert instructor


async def test_goals_of_a_group_too_small_to_hide_in_are_not_shown(
    database: Database, embedder: WatchedEmbedder, course: Course, learner: Principal, other_learner: Principal,
    make_goal: GoalFactory,
) -> None:  # fmt: skip
    await make_goal(title="learn sql joins", course_id=course.id)
    for number in range(30):
        await make_goal(other_learner, title=f"learn sql joins {number}", course_id=course.id)
    await index_everything(database, embedder)
    for mode in Mode:
        two = await ask(database, learner, embedder, "sql joins", scope=Scope.COURSE, mode=mode, smallest_group=3)
        assert [hit.own for hit in two.hits if hit.entity_type is EntityType.GOAL] == [True]
        assert any("at least 3 people" in note for note in two.provenance.notes)
    third = Principal("third", Role.LEARNER)
    async with database.transaction(third) as tx:
        await courses.enroll(tx, course.id)
    await make_goal(third, title="sql", course_id=course.id)
    await index_everything(database, embedder)
    three = await ask(database, learner, embedder, "sql joins", scope=Scope.COURSE, smallest_group=3, k=20)
    assert sum(not hit.own for hit in three.hits) >= 10
    assert not any("people" in note for note in three.provenance.notes)


async def test_the_group_must_have_three_where_nobody_says_otherwise(
    database: Database, embedder: WatchedEmbedder, course: Course, learner: Principal, other_learner: Principal,
    make_goal: GoalFactory,
) -> None:  # fmt: skip
    await make_goal(other_learner, title="learn sql joins", course_id=course.id)
    await index_everything(database, embedder)
    request = SearchRequest("sql joins", Scope.COURSE, GOALS)
    assert not (await retrieve(lambda: database.transaction(learner), embedder, request)).hits


async def test_diversity_changes_what_is_found(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory
) -> None:
    for number in range(6):
        await make_goal(title=f"sort a list in python {number}")
    await make_goal(title="sort rows in sql")
    await make_goal(title="python list comprehension")
    await index_everything(database, embedder)
    plain = await ask(database, learner, embedder, "sort a list in python", k=3)
    spread = await ask(database, learner, embedder, "sort a list in python", k=3, diversity=0.7)
    assert spread.hits[0] == plain.hits[0]
    assert set(titles(spread)) != set(titles(plain))
    assert not all(title.startswith("sort a list") for title in titles(spread))


async def test_rare_words_find_what_vectors_miss(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory
) -> None:
    topics = TopicEmbedder()
    for number in range(200):
        await make_goal(title=f"alpha filler {number}")
    await make_goal(title="beta ERR4711 workaround")
    await index_everything(database, topics)
    dense = await ask(database, learner, topics, "ERR4711 in alpha", mode=Mode.DENSE, k=5)
    hybrid = await ask(database, learner, topics, "ERR4711 in alpha", k=5, explain=True)
    assert "beta ERR4711 workaround" not in titles(dense)
    assert (hybrid.hits[0].title, hybrid.hits[0].matched) == ("beta ERR4711 workaround", ("err4711",))
    assert hybrid.provenance.terms["err4711"] > hybrid.provenance.terms["alpha"]


@pytest.mark.parametrize("query", ["programacion funcional", "Programación", "función parse json", "parseJsonBody"])
async def test_words_meet_across_accents_inflections_and_spellings_of_identifiers(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory, query: str
) -> None:
    await make_goal(title="Curso de programación", description="las funciones de parse_json_body")
    await make_goal(title="Nothing in common")
    await index_everything(database, embedder)
    result = await ask(database, learner, embedder, query, mode=Mode.LEXICAL)
    assert titles(result) == ["Curso de programación"]
    assert (result.provenance.route, result.provenance.model) == (Route.NONE, None)


async def test_an_embedder_that_is_away_leaves_full_text_and_says_so(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory
) -> None:
    await make_goal(title="Learn Go")
    await index_everything(database, embedder)
    embedder.away_after = 0
    result = await ask(database, learner, embedder, "go")
    assert titles(result) == ["Learn Go"]
    assert result.provenance.degraded
    assert "gone" in result.provenance.notes[0]


async def test_a_question_follows_the_index_to_another_model(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory
) -> None:
    await make_goal(title="alpha one")
    await index_everything(database, TopicEmbedder())

    both = Embedders([HashEmbedder(), TopicEmbedder()])
    result = await ask(database, learner, both, "alpha", mode=Mode.DENSE)
    assert (titles(result), result.provenance.model) == (["alpha one"], "topics")
    only = await ask(database, learner, embedder, "alpha")
    assert (titles(only), only.provenance.model) == (["alpha one"], None)


async def test_before_anything_is_indexed_nothing_is_found(
    database: Database, embedder: WatchedEmbedder, learner: Principal
) -> None:
    result = await ask(database, learner, embedder, "anything")
    assert (result.hits, result.provenance.short) == ([], True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"query": "  \n"}, "empty"),
        ({"query": "x" * 1_000_000}, "1000000 characters"),
        ({"query": "a\0b"}, "not text"),
        ({"query": "\ud800"}, "not text"),
        ({"k": 0}, "between 1 and 50"),
        ({"k": 51}, "between 1 and 50"),
        ({"entity_types": ()}, "entity_types"),
        ({"entity_types": (EntityType.USER,)}, "entity_types"),
        ({"diversity": 1.5}, "diversity"),
        ({"diversity": float("nan")}, "diversity"),
        ({"author_cap": 0}, "author_cap"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        SearchRequest(**{"query": "q", **wrong})  # pyright: ignore[reportArgumentType]


HOSTILE = ["'; DROP TABLE goals; --", "a & | ! <-> b", ':* \\ "', "🎉🎉", "the of and", "%s %(x)s"]


@pytest.mark.parametrize("query", HOSTILE)
async def test_no_query_breaks_the_statement(
    database: Database, embedder: WatchedEmbedder, learner: Principal, make_goal: GoalFactory, query: str
) -> None:
    await make_goal()
    await index_everything(database, embedder)
    for mode in Mode:
        result = await ask(database, learner, embedder, query, mode=mode)
        assert all(isinstance(hit, Hit) for hit in result.hits)
