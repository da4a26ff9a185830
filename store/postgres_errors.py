"""Turns what PostgreSQL says into what the caller can use, once, at the border of the store."""

import psycopg
from psycopg import errors as pg

from store.errors import Conflict, Forbidden, Invalid, NotFound, StoreError, Unavailable, VersionConflict

_CONFLICTS = {
    "users_email": "An account with this email address exists already.",
    "users_pkey": "A user with this id exists already.",
    "courses_pkey": "A course with this id exists already.",
    "enrollments_user_id_course_id_key": "This user is enrolled in the course already.",
    "events_command": "This command was carried out already.",
}
_MISSING = {
    "tasks_goal_id_fkey": "There is no goal of that id here for you.",
    "code_snapshots_task_id_fkey": "There is no task of that id here for you.",
}
_RULES = {
    "goals_check1": "Sharing with a course needs a course_id.",
    "tasks_check1": "Sharing with a course needs a course_id.",
}


def translated(error: psycopg.Error) -> StoreError | psycopg.Error:
    """Return the store's error for `error`, or `error` itself when it can only be a mistake of ours."""
    constraint = error.diag.constraint_name or ""
    match error:
        case pg.UniqueViolation() if constraint == "events_entity_type_entity_id_entity_version_key":
            return VersionConflict()
        case pg.UniqueViolation():
            return Conflict(_CONFLICTS.get(constraint))
        case pg.ForeignKeyViolation() if "still referenced" in str(error):
            return Conflict("Something still belongs to it. Delete that first.")
        case pg.ForeignKeyViolation():
            return NotFound(_MISSING.get(constraint))
        case pg.CheckViolation():
            return Invalid(_RULES.get(constraint, f"The values do not fit together ({constraint})."))
        case pg.InsufficientPrivilege():
            return Forbidden("You may not write that: it is not yours, or you may not share it so widely.")
        case pg.TransactionRollback():
            return Conflict("Somebody changed the same thing in the same moment. Try again.")
        case pg.DataError():
            return Invalid("The database cannot store one of the values: it is out of range or not valid text.")
        case psycopg.OperationalError():
            return Unavailable()
        case _:
            return error
