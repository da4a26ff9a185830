"""What task suggestion says to the learner, in English and Spanish. Figures come from code, never from a model."""

from collections.abc import Mapping

from agents.failures import FailureKind
from agents.offline import language
from agents.ranking_reasons import Obstacle, WhyNot
from graphs.suggestion_state import Result

_SAY: Mapping[str, Mapping[str, str]] = {
    "en": {
        "rank": "Comparing what could be done next",
        "best": "Best next step: **{title}**{minutes}",
        "review": "Refresh the skill {title!r}",
        "minutes": " ({minutes} min)",
        "first": "To begin: {step}",
        "others": "Also possible",
        "not": "Why not the others",
        "ask": "Begin {title!r} now?",
        "started": "Begun: {title!r}.",
        "reviewing": "A review task was made and begun: {title!r}.",
        "declined": "Nothing was begun. The suggestion steps back for a while.",
        "rejected": "Noted: that one steps back for a week.",
        "snoozed": "Noted: that one comes back on {until}.",
        "stale": "It was not begun: {why}",
        "no_home": "No open goal trains this skill, so no review task was made. A goal has to come first.",
        "rules": "Order and reasons are computed by fixed rules; no language model took part.",
        "degraded": "The language model gave no answer; the order does not depend on it, the sentences are prepared.",
        "review_title": "Review: {skill}",
        "review_done": "The main idea of {skill} is explained from memory, with one example",
    },
    "es": {
        "rank": "Comparando lo que se podría hacer ahora",
        "best": "El mejor paso siguiente: **{title}**{minutes}",
        "review": "Repasar la habilidad {title!r}",
        "minutes": " ({minutes} min)",
        "first": "Para empezar: {step}",
        "others": "También posible",
        "not": "Por qué no las demás",
        "ask": "¿Empezar {title!r} ahora?",
        "started": "Empezada: {title!r}.",
        "reviewing": "Se creó y empezó una tarea de repaso: {title!r}.",
        "declined": "No se empezó nada. La sugerencia se retira por un tiempo.",
        "rejected": "Anotado: esa se retira por una semana.",
        "snoozed": "Anotado: esa vuelve el {until}.",
        "stale": "No se empezó: {why}",
        "no_home": "No hay ninguna meta abierta que entrene esta habilidad, así que no se creó el repaso. Primero hace "
        "falta una meta.",
        "rules": "El orden y las razones se calculan con reglas fijas; no participó ningún modelo de lenguaje.",
        "degraded": "El modelo de lenguaje no respondió; el orden no depende de él y las frases están preparadas.",
        "review_title": "Repaso: {skill}",
        "review_done": "La idea principal de {skill} se explica de memoria, con un ejemplo",
    },
}

_OBSTACLES: Mapping[str, Mapping[Obstacle, str]] = {
    "en": {
        Obstacle.WAITS: "waits for {waits_for}",
        Obstacle.BLOCKED: "is marked as blocked",
        Obstacle.SNOOZED: "is put off until {until}",
        Obstacle.UNKNOWN_DEPENDENCY: "waits for a task that does not exist; its dependency has to be removed",
        Obstacle.REJECTED: "was turned down recently",
        Obstacle.TOO_LONG: "takes longer than the time at hand",
        Obstacle.LOWER: "ranks lower{factor}",
        Obstacle.NO_TASKS: "",
    },
    "es": {
        Obstacle.WAITS: "espera a {waits_for}",
        Obstacle.BLOCKED: "está marcada como bloqueada",
        Obstacle.SNOOZED: "está aplazada hasta {until}",
        Obstacle.UNKNOWN_DEPENDENCY: "espera a una tarea que no existe; hay que quitar esa dependencia",
        Obstacle.REJECTED: "fue rechazada hace poco",
        Obstacle.TOO_LONG: "dura más que el tiempo disponible",
        Obstacle.LOWER: "queda por debajo{factor}",
        Obstacle.NO_TASKS: "",
    },
}

_FACTORS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "continuation": "the best one is already begun",
        "open_findings": "the best one has findings to resolve",
        "due": "the best one is due sooner",
        "priority": "the best one has a higher priority",
        "critical_path": "more work hangs on the best one",
        "unlocks": "the best one sets more tasks free",
        "review_due": "the skill of the best one is fading",
        "learning_zone": "the best one trains skills that are half mastered",
        "fits": "the best one fits the time better",
        "same_as_last": "it repeats the skill just worked on",
        "mood": "the best one matches the wish better",
    },
    "es": {
        "continuation": "la mejor ya está empezada",
        "open_findings": "la mejor tiene observaciones por resolver",
        "due": "la mejor vence antes",
        "priority": "la mejor tiene más prioridad",
        "critical_path": "de la mejor depende más trabajo",
        "unlocks": "la mejor libera más tareas",
        "review_due": "la habilidad de la mejor se está olvidando",
        "learning_zone": "la mejor entrena habilidades a medio dominar",
        "fits": "la mejor encaja mejor en el tiempo",
        "same_as_last": "repite la habilidad recién trabajada",
        "mood": "la mejor encaja mejor con lo pedido",
    },
}

_STEPS: Mapping[str, Mapping[Obstacle, str]] = {
    "en": {
        Obstacle.BLOCKED: "Nothing can begin now. The smallest step: resolve what blocks {title!r} and set it back to "
        "pending.",
        Obstacle.UNKNOWN_DEPENDENCY: "Nothing can begin now. {title!r} waits for a task that does not exist; "
        "removing that dependency sets it free.",
        Obstacle.SNOOZED: "Nothing else can begin now: {title!r} comes back on {until}. It can also be begun "
        "earlier by name.",
        Obstacle.WAITS: "Nothing can begin now: {title!r} waits for {waits_for}.",
        Obstacle.NO_TASKS: "There are no open tasks. A plan for a goal is the next step.",
    },
    "es": {
        Obstacle.BLOCKED: "Ahora no se puede empezar nada. El paso más pequeño: resolver lo que bloquea {title!r} y "
        "devolverla a pendiente.",
        Obstacle.UNKNOWN_DEPENDENCY: "Ahora no se puede empezar nada. {title!r} espera a una tarea que no existe; "
        "quitar esa dependencia la libera.",
        Obstacle.SNOOZED: "Ahora no se puede empezar nada más: {title!r} vuelve el {until}. También puede empezarse "
        "antes por su nombre.",
        Obstacle.WAITS: "Ahora no se puede empezar nada: {title!r} espera a {waits_for}.",
        Obstacle.NO_TASKS: "No hay tareas abiertas. El siguiente paso es planificar una meta.",
    },
}
_RESTING = {
    "en": (" 1 paused goal could also be resumed.", " {count} paused goals could also be resumed."),
    "es": (
        " También se puede retomar la meta que está en pausa.",
        " También se puede retomar alguna de las {count} metas en pausa.",
    ),
}


def sentence(locale: str, key: str, **values: object) -> str:
    """Return one sentence in the learner's language."""
    return _SAY[language(locale)][key].format(**values)


def obstacle_text(why: WhyNot, locale: str) -> str:
    """Return why a task was left out, without its title."""
    speech = language(locale)
    factor = _FACTORS[speech].get(why.factor, "")
    return _OBSTACLES[speech][why.obstacle].format(
        waits_for=", ".join(why.waits_for), until=_day(why), factor=f": {factor}" if factor else ""
    )


def blocked_message(step: WhyNot, resting: int, locale: str) -> str:
    """Return what would set work free."""
    speech = language(locale)
    text = _STEPS[speech][step.obstacle].format(title=step.title, until=_day(step), waits_for=", ".join(step.waits_for))
    return text + (_RESTING[speech][resting > 1].format(count=resting) if resting else "")


def answer(result: Result, locale: str) -> str:
    """Compose the message of the run."""
    if result.get("status") != "suggested":
        return result.get("message", "")
    suggestions = result.get("suggestions", [])
    parts: list[str] = []
    for place, each in enumerate(suggestions):
        title = each["title"] if each["task_id"] else sentence(locale, "review", title=each["title"])
        minutes = sentence(locale, "minutes", minutes=each["estimated_minutes"]) if each["estimated_minutes"] else ""
        if place == 0:
            parts.append(sentence(locale, "best", title=title, minutes=minutes))
            parts.append(f"{each['reason']} {sentence(locale, 'first', step=each['first_step'])}")
            if len(suggestions) > 1:
                parts.append(f"{sentence(locale, 'others')}:")
        else:
            parts.append(f"{place + 1}. {title}{minutes}: {each['reason']}")
    left_out = result.get("why_not", [])
    if left_out:
        lines = [f"- {each['title']}: {each['reason']}" for each in left_out]
        parts.append("\n".join([f"{sentence(locale, 'not')}:", *lines]))
    by = str(result.get("provenance", {}).get("explained_by", ""))
    if by == "rules":
        parts.append(sentence(locale, "rules"))
    elif by in list(FailureKind):
        parts.append(sentence(locale, "degraded"))
    return "\n\n".join(parts)


def _day(why: WhyNot) -> str:
    return why.until.date().isoformat() if why.until else ""
