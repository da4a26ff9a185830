"""What code validation says to the learner, in English and Spanish. Figures come from code, never from a model."""

from collections.abc import Mapping
from typing import Any, cast

from agents.failures import ADVICE, FailureKind
from agents.offline import language
from graphs.validation_state import Result, State, findings_in

_SAY: Mapping[str, Mapping[str, str]] = {
    "en": {
        "static": "Checking the syntax and the usual mistakes ({language})",
        "retrieve": "Looking for related material",
        "review": "Reviewing the code",
        "commit": "Saving the result",
        "needs_input": "There is no code to check yet. Save a snapshot of a task and name it here, or paste code "
        "between ``` fences, its language behind the first: ```python.",
        "passed": "Passed, with a score of {score:.2f}.",
        "failed": "Not passed yet: a score of {score:.2f}. The essential points come first.",
        "not_checked": "Not checked: there is no analyser for {language} here, and no language model reviewed it. "
        "Nothing was recorded.",
        "clean": "Nothing was found to change.",
        "line": "Line {line}",
        "lines": "Lines {line}-{end}",
        "more": "{count} smaller points are in the list of findings.",
        "fixed": "Resolved since the last version: {titles}.",
        "persists": "still there",
        "regressed": "back again",
        "criteria": "Criteria",
        "yes": "met",
        "no": "not met",
        "cannot_tell": "cannot be told from the code",
        "tests": "Tests on the learner's machine (not checked here): {passed} of {total} passed.",
        "hint": "Hint, level {level}",
        "held_back": "The next level opens with a version of the code that has really changed.",
        "no_problem": "There is no problem left to give a hint about.",
        "loose": "This code is not saved as a snapshot, so nothing was recorded.",
        "stale": "The snapshot changed while it was being checked, so nothing was recorded. Ask again.",
        "rules": "Found by static checks and fixed rules; no language model judged this.",
        "degraded": "The language model gave no answer, so this rests on static checks alone. {why}",
        "propose": "Everything that can be checked is in order. The task can be completed: approve, or ask for "
        "complete_task.",
        "open": "Left to judge: {criteria}.",
        "completed": "The task is completed.",
        "not_completed": "The task stays as it is.",
        "refused": "The task was not completed: {why}",
        "ask": "The code passed with {score:.2f}. Complete the task {title!r}?",
    },
    "es": {
        "static": "Revisando la sintaxis y los errores habituales ({language})",
        "retrieve": "Buscando material relacionado",
        "review": "Revisando el código",
        "commit": "Guardando el resultado",
        "needs_input": "Todavía no hay código que revisar. Guarda una versión del código de una tarea y nómbrala aquí, "
        "o pega código entre marcas ```, con su lenguaje tras la primera: ```python.",
        "passed": "Superado, con una puntuación de {score:.2f}.",
        "failed": "Todavía no superado: puntuación de {score:.2f}. Lo esencial va primero.",
        "not_checked": "Sin revisar: aquí no hay analizador para {language} y ningún modelo de lenguaje lo revisó. "
        "No se registró nada.",
        "clean": "No se encontró nada que cambiar.",
        "line": "Línea {line}",
        "lines": "Líneas {line}-{end}",
        "more": "Otros {count} puntos menores están en la lista de observaciones.",
        "fixed": "Resuelto desde la versión anterior: {titles}.",
        "persists": "sigue ahí",
        "regressed": "ha vuelto",
        "criteria": "Criterios",
        "yes": "cumplido",
        "no": "no cumplido",
        "cannot_tell": "no se puede saber por el código",
        "tests": "Pruebas en la máquina del estudiante (sin comprobar aquí): {passed} de {total} superadas.",
        "hint": "Pista, nivel {level}",
        "held_back": "El siguiente nivel se abre con una versión del código que haya cambiado de verdad.",
        "no_problem": "No queda ningún problema sobre el que dar una pista.",
        "loose": "Este código no está guardado, así que no se registró nada.",
        "stale": "El código cambió durante la revisión, así que no se registró nada. Vuelve a pedirla.",
        "rules": "Encontrado por análisis estático y reglas fijas; ningún modelo de lenguaje lo ha juzgado.",
        "degraded": "El modelo de lenguaje no respondió, así que esto se apoya en el análisis estático. {why}",
        "propose": "Todo lo que se puede comprobar está en orden. La tarea puede completarse: basta aprobarlo o pedir "
        "complete_task.",
        "open": "Queda por juzgar: {criteria}.",
        "completed": "La tarea está completada.",
        "not_completed": "La tarea queda como está.",
        "refused": "La tarea no se completó: {why}",
        "ask": "El código pasó con {score:.2f}. ¿Completar la tarea {title!r}?",
    },
}

_WHY_ES = {
    FailureKind.TIMEOUT: "No respondió a tiempo.",
    FailureKind.RATE_LIMITED: "Su proveedor está limitando las peticiones.",
    FailureKind.UNAUTHORISED: "Su proveedor rechazó la clave del servicio.",
    FailureKind.UNAVAILABLE: "No se puede alcanzar a su proveedor.",
    FailureKind.REFUSED: "Su proveedor rechazó la petición.",
    FailureKind.CUT_OFF: "Su respuesta quedó a medias.",
    FailureKind.MALFORMED: "Su respuesta no tenía una forma utilizable.",
    FailureKind.BUDGET: "Se agotó el presupuesto de esta ejecución.",
}


def sentence(locale: str, key: str, **values: object) -> str:
    """Return one sentence in the learner's language."""
    return _SAY[language(locale)][key].format(**values)


def feedback(state: State, status: str, locale: str) -> str:
    """Compose what is stored with the snapshot: verdict, the few findings shown, criteria, and who judged."""
    checked = state.get("checked", {})
    subject = state.get("subject")
    values = {"score": checked.get("score") or 0.0, "language": subject["language"] if subject else ""}
    parts = [sentence(locale, status, **values)]
    parts += _findings(checked, locale)
    if checked.get("fixed"):
        titles = "; ".join(each.title for each in findings_in(checked["fixed"])[:3])
        parts.append(sentence(locale, "fixed", titles=titles))
    parts += _rubric(checked, locale)
    if checked.get("summary"):
        parts.append(str(checked["summary"]))
    parts += _grounds(state, locale)
    return "\n\n".join(part for part in parts if part)


def _findings(checked: Mapping[str, Any], locale: str) -> list[str]:
    everything = findings_in(checked.get("findings", []))
    told = set(cast("list[str]", checked.get("shown", [])))
    lines: list[str] = []
    for number, each in enumerate([one for one in everything if one.identity in told], start=1):
        place = sentence(
            locale, "lines" if each.line_end > each.line_start else "line", line=each.line_start, end=each.line_end
        )
        again = f" ({sentence(locale, each.change.value)})" if each.change.value in ("persists", "regressed") else ""
        lines.append(f"{number}. {place}{again}: {each.title}. {each.why}")
    if not everything:
        return [sentence(locale, "clean")]
    rest = len(everything) - len(lines)
    return ["\n".join(lines), sentence(locale, "more", count=rest) if rest > 0 else ""]


def _rubric(checked: Mapping[str, Any], locale: str) -> list[str]:
    rubric = cast("list[dict[str, Any]]", checked.get("rubric", []))
    if not rubric:
        return []
    lines = [f"- {each['text']}: {sentence(locale, str(each['met']))}" for each in rubric]
    return ["\n".join([f"{sentence(locale, 'criteria')}:", *lines])]


def _grounds(state: State, locale: str) -> list[str]:
    parts: list[str] = []
    run = cast("dict[str, Any] | None", state.get("request", {}).get("client_test_results"))
    if run is not None:
        passed = sum(each["status"] == "pass" for each in run["tests"])
        parts.append(sentence(locale, "tests", passed=passed, total=len(run["tests"])))
    by = state.get("reviewed_by", "")
    if by == "rules":
        parts.append(sentence(locale, "rules"))
    elif by and by != "model":
        kind = FailureKind(by)
        why = _WHY_ES[kind] if language(locale) == "es" else ADVICE[kind]
        parts.append(sentence(locale, "degraded", why=why))
    return parts


def reply(result: Result, locale: str) -> str:
    """Compose the message of the run: the feedback, then hint, and what may happen next."""
    parts = [result.get("message", "")]
    hint = result.get("hint")
    if hint is not None:
        if hint["level"]:
            parts.append(f"{sentence(locale, 'hint', level=hint['level'])}: {hint['words']}")
            if hint["held_back"]:
                parts.append(sentence(locale, "held_back"))
        elif hint["asked"]:
            parts.append(sentence(locale, "no_problem"))
    if result.get("status") in ("passed", "failed") and result.get("snapshot_id") is None:
        parts.append(sentence(locale, "loose"))
    proposal = result.get("proposal")
    if result.get("task_completed"):
        parts.append(sentence(locale, "completed"))
    elif proposal is not None and proposal.get("refused"):
        parts.append(sentence(locale, "refused", why=proposal["refused"]))
    elif proposal is not None:
        key = "not_completed" if proposal.get("decision") == "reject" else "propose"
        parts.append(sentence(locale, key))
        if key == "propose" and proposal["left_to_judge"]:
            parts.append(sentence(locale, "open", criteria="; ".join(proposal["left_to_judge"])))
    return "\n\n".join(part for part in parts if part)
