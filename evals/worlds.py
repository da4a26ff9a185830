"""Builds the world of a case with the store's own mutators, so that it has the history it would have in real life."""

from uuid import UUID, uuid4

from evals.labels import NOW, Clock, day, id_of
from evals.samples import GoalSeed, TaskSeed, World
from store import candidates, courses, goals, mastery, snapshots, tasks, users
from store.courses import NewCourse
from store.database import Database, Transaction
from store.goals import NewGoal
from store.principal import SERVICE, Principal
from store.snapshots import NewSnapshot, Validation
from store.tasks import NewTask
from store.types import GoalStatus, GoalType, Priority, Role, TaskStatus, TaskType, ValidationStatus, Visibility
from store.users import NewUser

PEOPLE = {"ada": "learner", "bob": "learner", "ines": "instructor"}


def people_of(world: World) -> dict[str, Role]:
    """Return everybody who exists in a world."""
    return {name: Role(role) for name, role in {**PEOPLE, **world.people}.items()}


def principal_of(world: World, name: str) -> Principal:
    """Return somebody of this world as a caller."""
    return Principal(name, people_of(world)[name])


async def seed(database: Database, clock: Clock, world: World) -> None:
    """Create everything in `world`. `clock` must be the clock of `database`."""
    async with database.transaction(SERVICE) as tx:
        for name, role in people_of(world).items():
            await users.create(tx, NewUser(id=name, email=f"{name}@example.org", name=name.title(), role=role))
    for course in world.courses:
        async with database.transaction(principal_of(world, course.owner)) as tx:
            await courses.create(
                tx,
                NewCourse(
                    id=course.id,
                    title=course.title,
                    documentation=course.documentation,
                    language=course.language,
                    visibility=Visibility(course.visibility),
                ),
            )
            if course.published:
                await courses.publish(tx, course.id)
                for member in course.members:
                    await courses.enroll(tx, course.id, member)
    for goal in world.goals:
        async with database.transaction(principal_of(world, goal.owner)) as tx:
            await _goal(tx, clock, goal)
    await _handed_in(database, clock, world)
    await _learnt(database, clock, world)
    clock.at = NOW


async def _goal(tx: Transaction, clock: Clock, seeded: GoalSeed) -> None:
    clock.at = NOW
    goal_id = id_of(seeded.key)
    await goals.create(
        tx,
        NewGoal(
            id=goal_id,
            title=seeded.title,
            description=seeded.description,
            course_id=seeded.course,
            type=GoalType(seeded.type),
            priority=Priority(seeded.priority),
            visibility=Visibility(seeded.visibility) if seeded.visibility else None,
            due_at=day(seeded.due),
        ),
    )
    for task in seeded.tasks:
        await _task(tx, seeded, task)
    for task in _started_first(seeded.tasks):
        clock.at = day(task.completed if task.completed is not None else -1) or NOW
        await tasks.update(tx, id_of(f"{seeded.key}/{task.key}"), {"status": TaskStatus(task.status)})
    clock.at = NOW
    if seeded.status != GoalStatus.PENDING:
        steps = [GoalStatus.IN_PROGRESS] if seeded.status == GoalStatus.PAUSED else []
        for status in (*steps, GoalStatus(seeded.status)):
            await goals.update(tx, goal_id, {"status": status})


async def _task(tx: Transaction, goal: GoalSeed, task: TaskSeed) -> None:
    await tasks.create(
        tx,
        NewTask(
            id=id_of(f"{goal.key}/{task.key}"),
            goal_id=id_of(goal.key),
            title=task.title,
            description=task.description,
            type=TaskType(task.type),
            priority=Priority(task.priority),
            acceptance_criteria=task.criteria,
            estimated_minutes=task.minutes,
            skills=task.skills,
            depends_on=[id_of(f"{goal.key}/{need}") for need in task.needs],
            due_at=day(task.due),
        ),
    )


def _started_first(all_tasks: tuple[TaskSeed, ...]) -> list[TaskSeed]:
    """Return the tasks that are not pending, those that others wait for before the others."""
    order: list[TaskSeed] = []
    waiting = [task for task in all_tasks if task.status != TaskStatus.PENDING]
    while waiting:
        names = {task.key for task in waiting}
        free = [task for task in waiting if not names & set(task.needs)]
        order += free or waiting
        waiting = [task for task in waiting if task not in order]
    return order


async def _handed_in(database: Database, clock: Clock, world: World) -> None:
    owners = {f"{goal.key}/{task.key}": goal.owner for goal in world.goals for task in goal.tasks}
    for place, snapshot in enumerate(world.snapshots):
        clock.at = day(-0.5 + 0.01 * place) or NOW
        async with database.transaction(principal_of(world, owners[snapshot.task])) as tx:
            made = await snapshots.create(
                tx,
                NewSnapshot(
                    id=id_of(snapshot.key),
                    task_id=id_of(snapshot.task),
                    file_path=snapshot.path,
                    content=snapshot.content,
                ),
            )
            if snapshot.verdict is not None:
                verdict = ValidationStatus(snapshot.verdict)
                score = snapshot.score if snapshot.score is not None else float(verdict is ValidationStatus.PASSED)
                await snapshots.record_validation(tx, made.id, Validation(status=verdict, score=score))


async def _learnt(database: Database, clock: Clock, world: World) -> None:
    """Bring skills to where they stand through the same function validations use, one piece of evidence at a time."""
    for skill in world.mastery:
        async with database.transaction(principal_of(world, skill.owner)) as tx:
            tries = [True] * round(skill.successes) + [False] * round(skill.failures)
            for number, passed in enumerate(sorted(tries), start=1):
                clock.at = day(skill.last - len(tries) + number) or NOW
                snapshot = await _proof(tx, skill.skill, number)
                evidence = mastery.Evidence(skill.skill, snapshot, passed, hint_level=0, first_try=False)
                await mastery.record(tx, evidence, clock.at)
            await tasks.update(tx, _proof_id(skill.skill, tx, "task"), {"status": TaskStatus.COMPLETED})
            await goals.update(tx, _proof_id(skill.skill, tx, "goal"), {"status": GoalStatus.COMPLETED})
            await tx.execute(
                "UPDATE skill_mastery SET due_at = %s WHERE user_id = %s AND skill = %s",
                [day(skill.due), tx.principal.user_id, skill.skill],
            )
    owners = {f"{goal.key}/{task.key}": goal.owner for goal in world.goals for task in goal.tasks}
    for feedback in world.feedback:
        async with database.transaction(principal_of(world, owners[feedback.task])) as tx:
            decided = candidates.Decided(feedback.decision)
            moment = day(feedback.days) or NOW
            await candidates.decide(tx, uuid4(), id_of(feedback.task), decided, moment, day(feedback.until))


async def _proof(tx: Transaction, skill: str, number: int) -> UUID:
    """Hand in a file in a finished goal of its own: evidence always rests on a snapshot."""
    goal_id, task_id = _proof_id(skill, tx, "goal"), _proof_id(skill, tx, "task")
    if number == 1:
        await goals.create(tx, NewGoal(id=goal_id, title=f"Earlier work on {skill}"))
        await tasks.create(tx, NewTask(id=task_id, goal_id=goal_id, title=f"Exercises on {skill}", skills=[skill]))
    made = await snapshots.create(tx, NewSnapshot(task_id=task_id, file_path="proof.py", content=f"# {number}\n"))
    return made.id


def _proof_id(skill: str, tx: Transaction, noun: str) -> UUID:
    return id_of(f"proof of {skill} by {tx.principal.user_id}, {noun}")
