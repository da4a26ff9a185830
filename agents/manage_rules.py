"""Looking after goals and tasks without a language model: a small set of commands, in English and Spanish."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import BaseMessage, ToolMessage

from agents.offline import Facts, ToolRequest, language

_GOAL = r"(?:goals?|objectives?|metas?|objetivos?)"
_TASK = r"(?:tasks?|todos?|tareas?)"
_MY = r"(?:(?:the|my|las?|el|los|mis?)\s+)?"
_DELETE = r"(?:please )?(?:delete|remove|borra|elimina)r?"
_FINISH = (
    r"(?:i(?: have|'ve)? (?:finished|completed|done)|finish|complete"
    r"|he (?:terminado|completado|acabado)|termina|completa)"
)
_LIST = r"(?:list|show|which|what|lista|muestra|ver|cu[aá]les|qu[eé])(?: are| is| me| son)?"
_PROGRESS = r"(?:set |pon )?(?:the |el )?(?:progress|progreso) (?:of|on|de)"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(rf"^{text}", re.IGNORECASE)


_COMMANDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("delete_goal", _pattern(rf"{_DELETE}\s+{_MY}{_GOAL}\s+(.+)")),
    ("delete_task", _pattern(rf"{_DELETE}\s+{_MY}{_TASK}\s+(.+)")),
    ("complete_task", _pattern(rf"{_FINISH}\s+{_MY}{_TASK}[\s:]+(.+)")),
    ("set_goal_progress", _pattern(rf"{_PROGRESS}\s+{_MY}(?:{_GOAL}\s+)?(.+?)\s+(?:to|at|a|al)\s+(\d{{1,3}})\s*%?$")),
    ("list_tasks", _pattern(rf"{_LIST}\s+(?:all\s+|todas\s+)?{_MY}(?:open\s+)?{_TASK}\b[\s?.!]*$")),
    ("list_goals", _pattern(rf"{_LIST}\s+(?:all\s+|todas\s+)?{_MY}(?:open\s+)?{_GOAL}\b[\s?.!]*$")),
)

_SAYINGS = {
    "en": {
        "none": "I found nothing of that name.",
        "many": "That fits several. Which one do you mean: {names}?",
        "goals": "Your goals:",
        "tasks": "Your tasks:",
        "empty": "There is nothing yet.",
        "done": "Done: {what}.",
        "kept": "Then nothing is changed.",
        "refused": "That was not possible: {why}",
        "unknown": "I am the offline assistant: fixed rules, not a language model. I understand commands such as "
        "'list my goals', 'list my tasks', 'complete task <title>', "
        "'progress of <goal> to 40 %', 'delete goal <title>'.",
    },
    "es": {
        "none": "No encontré nada con ese nombre.",
        "many": "Eso encaja con varios. ¿Cuál es: {names}?",
        "goals": "Tus metas:",
        "tasks": "Tus tareas:",
        "empty": "Todavía no hay nada.",
        "done": "Hecho: {what}.",
        "kept": "Entonces no se cambia nada.",
        "refused": "No fue posible: {why}",
        "unknown": "Soy el asistente sin conexión: reglas fijas, no un modelo de lenguaje. Entiendo órdenes como "
        "'lista mis metas', 'lista mis tareas', 'completa la tarea <título>', "
        "'progreso de <meta> a 40 %', 'borra la meta <título>'.",
    },
}


def is_management(text: str) -> bool:
    """Tell whether a text is one of the commands understood here."""
    return _command(text) is not None


def manage(facts: Facts, messages: Sequence[BaseMessage]) -> "list[ToolRequest] | str":
    """Work a command off in at most two calls: find what is meant, then do it; then report what really happened."""
    say = _SAYINGS[language(facts.get("locale"))]
    command = _command(str(facts["text"]))
    if command is None:
        return say["unknown"]
    name, found = command
    answers = [message for message in messages if isinstance(message, ToolMessage)]
    if name.startswith("list_"):
        return _listed(name.removeprefix("list_"), answers, say) if answers else [ToolRequest(name, {})]
    if not answers:
        finder = "list_goals" if "goal" in name else "list_tasks"
        return [ToolRequest(finder, {"words": found[1].strip(" .\"'«»“”")})]
    if len(answers) == 1:
        return _act(name, found, _body(answers[0]), say)
    return _report(_body(answers[-1]), say)


def _act(name: str, found: re.Match[str], body: Mapping[str, Any], say: Mapping[str, str]) -> "list[ToolRequest] | str":
    kind = "goal" if "goal" in name else "task"
    rows: list[Mapping[str, Any]] = body.get(f"{kind}s", [])
    exact = [row for row in rows if row["title"].casefold() == found[1].strip(" .\"'«»“”").casefold()]
    rows = exact or rows
    if not rows:
        return say["none"]
    if len(rows) > 1:
        return say["many"].format(names=", ".join(row["title"] for row in rows[:5]))
    args: dict[str, Any] = {f"{kind}_id": rows[0]["id"]}
    if name == "set_goal_progress":
        args["percentage"] = float(found[2])
    return [ToolRequest(name, args)]


def _listed(kind: str, answers: Sequence[ToolMessage], say: Mapping[str, str]) -> str:
    rows: list[Mapping[str, Any]] = _body(answers[0]).get(kind, [])
    lines = [f"- {row['title']} ({row['status']})" for row in rows]
    return "\n".join([say[kind], *lines]) if lines else say["empty"]


def _report(body: Mapping[str, Any], say: Mapping[str, str]) -> str:
    if body.get("refused"):
        return say["kept"]
    if "error" in body:
        return say["refused"].format(why=body["error"])
    what = next((cast("dict[str, Any]", value) for value in body.values() if isinstance(value, dict)), body)
    return say["done"].format(what=what.get("title", "✓"))


def _body(message: ToolMessage) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(message.text))


def _command(text: str) -> "tuple[str, re.Match[str]] | None":
    line = " ".join(text.split())
    for name, pattern in _COMMANDS:
        found = pattern.match(line)
        if found and len(line) < 300:
            return name, found
    return None
