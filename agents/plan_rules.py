"""Planning without a language model: the plan follows the headings retrieval found, and says where it comes from."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from agents.manage_rules import is_management, manage
from agents.offline import Facts, ToolRequest, language
from agents.plan import Kind, PlanDraft, TaskDraft, Understanding
from agents.requests import read_wish, usable

__all__ = ["draft", "manage", "research", "understand"]

MINUTES: Mapping[Kind, int] = {"read": 45, "practice": 60, "build": 120, "review": 30, "assess": 60}
_MOST_TOPICS = 5
_FEWER = re.compile(r"\b(fewer|less|shorter|smaller|menos|mas cort|más cort|reduc)", re.IGNORECASE)
_AT_MOST = re.compile(
    r"\b(?:at most|max(?:imum)?|m[aá]ximo|como mucho|no m[aá]s de)\s+(\d{1,2})\s+(?:task|tarea)", re.IGNORECASE
)
_NOISE = frozenset(
    {"introduction", "introduccion", "overview", "summary", "resumen", "contents", "contenido", "indice"}
)
_EVERYWHERE = frozenset(
    re.findall(
        r"\w+",
        """
        about and able become begin build can create does end first for from get goal have how into knowledge know learn
        make master more month months next scratch some start study than that the then this understand use using want
        week weeks what when with work write year you your
        aprender cero como con conocer construir crear curso del desde dominar empezar entender escribir esta este
        estudiar fin hacer las los mas mes meses meta mis para poder por primer que quiero saber semana semanas sobre
        una usar
        """,
    )
)
"""Words of any objective; sharing only these, material has nothing to do with it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Something to learn, and the evidence it was found in."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Phrases:
    """The words of the template in one language."""

    read: str
    read_why: str
    read_done: str
    practice: str
    practice_why: str
    practice_done: str
    build: str
    build_why: str
    build_done: str
    assess: str
    assess_why: str
    assess_done: tuple[str, str]
    outcome: str
    no_model: str
    no_evidence: str
    not_understood: str
    cut: str
    start: str
    start_done: str


PHRASES = {
    "en": Phrases(
        read="Read: {topic}",
        read_why="Gives the terms and ideas that the practice on {topic} needs.",
        read_done="A half-page summary of {topic} in your own words exists.",
        practice="Practise: {topic}",
        practice_why="Turns what was read about {topic} into something you can do.",
        practice_done="Three small exercises on {topic} are solved and checked.",
        build="Build something that uses it: {objective}",
        build_why="Brings the parts together in one piece of work of your own.",
        build_done="A small piece of work runs and uses every topic of this plan.",
        assess="Check yourself: {objective}",
        assess_why="Shows whether the goal is reached, and what is missing.",
        assess_done=("A similar piece of work is done without notes.", "The gaps found are written down."),
        outcome="You can show a piece of work of your own for: {objective}",
        no_model="This plan was made by fixed rules from the material found; no language model judged it.",
        no_evidence="Nothing fitting was found to plan from, so this is only a skeleton: name a course, or fill it in.",
        not_understood="Fixed rules cannot work in your remark {remark!r}; edit the plan to change it.",
        cut="Left out for lack of time: {topics}",
        start="Find two good sources on: {objective}",
        start_done="Two sources are chosen, and for each is written down what it is good for.",
    ),
    "es": Phrases(
        read="Leer: {topic}",
        read_why="Da los términos y las ideas que necesita la práctica de {topic}.",
        read_done="Existe un resumen de media página sobre {topic} con tus propias palabras.",
        practice="Practicar: {topic}",
        practice_why="Convierte lo leído sobre {topic} en algo que sabes hacer.",
        practice_done="Tres ejercicios pequeños sobre {topic} están resueltos y comprobados.",
        build="Construir algo que lo use: {objective}",
        build_why="Reúne las partes en un trabajo propio.",
        build_done="Un trabajo pequeño funciona y usa todos los temas de este plan.",
        assess="Comprobar lo aprendido: {objective}",
        assess_why="Muestra si la meta está alcanzada y qué falta.",
        assess_done=("Un trabajo parecido está hecho sin apuntes.", "Las lagunas encontradas están anotadas."),
        outcome="Puedes mostrar un trabajo propio para: {objective}",
        no_model="Este plan lo hicieron reglas fijas con el material encontrado; ningún modelo de lenguaje lo valoró.",
        no_evidence="No se encontró nada adecuado, así que esto es solo un esqueleto: indica un curso o complétalo.",
        not_understood="Las reglas fijas no saben aplicar tu comentario {remark!r}; edita el plan para cambiarlo.",
        cut="Fuera por falta de tiempo: {topics}",
        start="Encontrar dos buenas fuentes sobre: {objective}",
        start_done="Hay dos fuentes elegidas y está anotado para qué sirve cada una.",
    ),
}


def understand(facts: Facts, _: Sequence[BaseMessage]) -> Understanding:
    """Read the learner's text by rules."""
    text = str(facts["text"])
    wish = read_wish(text, date.fromisoformat(str(facts["today"])))
    kind = "manage" if is_management(text) else "plan" if usable(wish.objective) else "unusable"
    return Understanding(
        kind=kind,
        objective=wish.objective if kind == "plan" else "",
        deadline=wish.deadline.isoformat() if wish.deadline else None,
        hours_per_week=wish.hours_per_week,
        level=wish.level,
        constraints=[],
    )


def research(facts: Facts, messages: Sequence[BaseMessage]) -> list[ToolRequest] | str:
    """Ask once for everything there is: the course's outline, its documentation, similar goals and anything else."""
    if any(isinstance(message, ToolMessage) for message in messages):
        return "READY"
    objective, course = str(facts["objective"]), facts.get("course_id")
    scope = "course" if course else "user"
    requests = [
        ToolRequest("get_course_documentation", {"query": objective, "course_id": course}),
        ToolRequest("get_similar_goals", {"query": objective, "scope": scope, "course_id": course}),
    ]
    return [ToolRequest("get_course", {"course_id": course}), *requests] if course else requests


def draft(facts: Facts, _: Sequence[BaseMessage]) -> PlanDraft:
    """Lay the topics found into a template: read and practise each, then build, then assess."""
    words = PHRASES[language(facts.get("locale"))]
    objective = str(facts["objective"])
    topics = _topics(facts, objective)
    room = _room(facts, len(topics))
    while len(topics) > max(1, room):
        topics = topics[:-1]
    minutes = _minutes(facts, len(topics))
    tasks = _template(words, objective, topics, minutes) if topics else _skeleton(words, objective, minutes)
    assumptions = [words.no_model, *([] if topics else [words.no_evidence])]
    assumptions += [words.not_understood.format(remark=r[:80]) for r in facts.get("feedback", []) if not _heard(r)]
    left = [topic.name for topic in _topics(facts, objective)[len(topics) :]]
    return PlanDraft(
        title=objective[:120],
        outcome=words.outcome.format(objective=objective[:200]),
        assumptions=assumptions,
        tasks=_revised(tasks, facts),
        not_doing=[words.cut.format(topics=", ".join(left))] if left else [],
    )


def _template(words: Phrases, objective: str, topics: Sequence[Topic], minutes: Mapping[Kind, int]) -> list[TaskDraft]:
    tasks: list[TaskDraft] = []
    for number, topic in enumerate(topics, start=1):
        read, practice = f"r{number}", f"p{number}"
        name = topic.name
        tasks.append(
            _task(read, "read", words.read.format(topic=name), words.read_why.format(topic=name),
                  [words.read_done.format(topic=name)], minutes, [name], [f"r{number - 1}"] if number > 1 else [],
                  [topic.source])
        )  # fmt: skip
        tasks.append(
            _task(practice, "practice", words.practice.format(topic=name), words.practice_why.format(topic=name),
                  [words.practice_done.format(topic=name)], minutes, [name], [read], [topic.source])
        )  # fmt: skip
    practised = [task.key for task in tasks if task.kind == "practice"]
    return [*tasks, *_ending(words, objective, minutes, practised, [topic.name for topic in topics])]


def _skeleton(words: Phrases, objective: str, minutes: Mapping[Kind, int]) -> list[TaskDraft]:
    short = objective[:80]
    start = _task("s1", "read", words.start.format(objective=short), words.read_why.format(topic=short),
                  [words.start_done], minutes, [short], [], [])  # fmt: skip
    practice = _task("s2", "practice", words.practice.format(topic=short), words.practice_why.format(topic=short),
                     [words.practice_done.format(topic=short)], minutes, [short], ["s1"], [])  # fmt: skip
    return [start, practice, *_ending(words, objective, minutes, ["s2"], [short])]


def _ending(
    words: Phrases, objective: str, minutes: Mapping[Kind, int], after: Sequence[str], skills: Sequence[str]
) -> list[TaskDraft]:
    short = objective[:100]
    return [
        _task("build", "build", words.build.format(objective=short), words.build_why, [words.build_done], minutes,
              skills[:4], after, []),
        _task("assess", "assess", words.assess.format(objective=short), words.assess_why, words.assess_done, minutes,
              skills[:4], ["build"], []),
    ]  # fmt: skip


def _task(
    key: str, kind: Kind, title: str, why: str, done: Sequence[str], minutes: Mapping[Kind, int],
    skills: Sequence[str], after: Sequence[str], sources: Sequence[str],
) -> TaskDraft:  # fmt: skip
    return TaskDraft(
        key=key, title=title[:160], kind=kind, why=why, done_when=list(done), est_minutes=minutes[kind],
        skills=[skill[:60] for skill in skills], depends_on=list(after), sources=list(sources),
    )  # fmt: skip


def _topics(facts: Facts, objective: str) -> list[Topic]:
    """Choose headings in the order of the material: those that share a word with the objective if several do.

    Without a chosen course only fitting material counts: a heading from somebody's cooking course plans no Rust.
    """
    known = {_key(str(title)) for title in facts.get("finished", {}).values()}
    words = {word for word in _key(objective).split() if len(word) > 2} - _NOISE - _EVERYWHERE
    found: dict[str, Topic] = {}
    fitting: dict[str, Topic] = {}
    for item in facts.get("evidence", []):
        name = str(item.get("heading") or "").split(" > ")[-1].strip()
        key = _key(name)
        if item.get("kind") not in ("outline", "course") or not key or key in found or set(key.split()) <= _NOISE:
            continue
        if key == _key(str(item.get("title"))):  # the course's own introduction, not a part of it
            continue
        found[key] = Topic(name[:70], str(item["id"]))
        about = key if facts.get("course_id") else _key(f"{item.get('title')} {name} {item.get('text')}")
        if words & set(about.split()):
            fitting[key] = found[key]
    if facts.get("course_id") and len(fitting) < 2:
        fitting = found
    return [topic for key, topic in fitting.items() if not any(key in title for title in known)][:_MOST_TOPICS]


def _room(facts: Facts, topics: int) -> int:
    """How many topics fit: into the time until the deadline, and into what the learner asked for."""
    room = topics
    available = facts.get("available_minutes")
    if available is not None:
        each, rest = MINUTES["read"] + MINUTES["practice"], MINUTES["build"] + MINUTES["assess"]
        room = min(room, int((available - rest) // each))
    for remark in [*facts.get("constraints", []), *facts.get("feedback", [])]:
        most = _AT_MOST.search(str(remark))
        if most:
            room = min(room, (int(most[1]) - 2) // 2)
        elif _FEWER.search(str(remark)):
            room = min(room, topics - 1)
    return room


def _minutes(facts: Facts, topics: int) -> dict[Kind, int]:
    """Estimate by what such tasks took this learner before, shortened when the deadline asks for it."""
    typical: Mapping[str, Any] = facts.get("typical_minutes", {})
    minutes: dict[Kind, int] = {
        kind: max(15, min(240, int(typical.get(kind, usual)))) for kind, usual in MINUTES.items()
    }
    count = max(1, topics)
    total = count * (minutes["read"] + minutes["practice"]) + minutes["build"] + minutes["assess"]
    available = facts.get("available_minutes")
    if available is not None and total > available > 0:
        return {kind: max(20, int(value * available / total)) for kind, value in minutes.items()}
    return minutes


def _revised(tasks: list[TaskDraft], facts: Facts) -> list[TaskDraft]:
    """In a revision keep every open task there is, and add the new ones that are not there yet."""
    existing: Sequence[Mapping[str, Any]] = facts.get("existing", [])
    if not existing:
        return tasks
    fields = TaskDraft.model_fields.keys() - {"sources"}
    kept = [TaskDraft.model_validate({**{k: old[k] for k in fields}, "sources": []}) for old in existing]
    known = {_key(task.title) for task in kept} | {_key(str(title)) for title in facts.get("finished", {}).values()}
    added = [task for task in tasks if _key(task.title) not in known][: max(0, 12 - len(kept))]
    own = {task.key for task in (*kept, *added)}
    return [*kept, *(t.model_copy(update={"depends_on": [d for d in t.depends_on if d in own]}) for t in added)]


def _heard(remark: object) -> bool:
    return bool(_AT_MOST.search(str(remark)) or _FEWER.search(str(remark)))


def _key(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c))))


def typical(minutes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return the median per kind of task of what past tasks really took."""
    return {kind: int(median(values)) for kind, values in minutes.items() if values}
