"""What goal planning says to the learner, in English and Spanish. Figures come from code, never from a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from agents.offline import language
from agents.plan_checks import Violation
from graphs.planning_state import Base, Evidence, Plan, Result

_SAY: Mapping[str, Mapping[str, str]] = {
    "en": {
        "read": "Reading the request",
        "search": "Looking for material",
        "found": "Found {count} pieces of material",
        "draft": "Drafting the plan",
        "using": "I found: {titles}. Now I draft the plan from what fits.",
        "nothing": "I found nothing fitting to plan from, so I draft the plan without material.",
        "repair": "Repairing the plan: {what}",
        "checked": "The plan is sound: {tasks} tasks, {minutes} minutes",
        "commit": "Saving the goal and its tasks",
        "clarify": "What do you want to reach? State it in a few words, for example: learn SQL joins in two weeks.",
        "extend": "You already have an open goal {title!r}. Approve to extend it with this plan, reject to stop.",
        "plan": "Plan",
        "rests": "rests on",
        "week": "1 week",
        "some_weeks": "{count} weeks",
        "weeks": "{weeks} at {hours} h a week, {total} h in all; longest chain {critical} h. Done by {finish}.",
        "late": "This does not fit before the deadline: {total} h of work, {available} h until then.",
        "assumed": "Assumptions",
        "left_out": "Left out",
        "mind": "Mind",
        "clipped": "Only the first 2,000 characters of the request were read.",
        "hours": "{hours} hours a week, because none were named.",
        "thin": "Nothing fitting was found, so this plan rests on no material.",
        "kept": "Finished work stays: {titles}.",
        "added": "New",
        "changed": "Changed",
        "dropped": "Cancelled",
        "unchanged": "Unchanged",
        "committed": "Done. The goal {title!r} is saved with {count} tasks. Start with: {first}",
        "revised": "Done. The goal {title!r} is revised: {added} new, {changed} changed, {dropped} cancelled.",
        "rejected": "Nothing was saved.",
        "needs_input": "I found no aim in that, so nothing was planned. Tell me what you want to reach.",
        "duplicate": "Nothing was saved: you already have an open goal {title!r}. Ask again if you want to extend it.",
        "stale": "Nothing was saved: {why} Ask for the plan again.",
        "invalid_plan": "No sound plan came out, so nothing was saved: {why}",
        "offline": "Made by fixed rules from the material found; no language model is configured.",
    },
    "es": {
        "read": "Leyendo la petición",
        "search": "Buscando material",
        "found": "Encontrados {count} fragmentos de material",
        "draft": "Redactando el plan",
        "using": "Encontré: {titles}. Ahora redacto el plan con lo que sirve.",
        "nothing": "No encontré material adecuado, así que redacto el plan sin material.",
        "repair": "Corrigiendo el plan: {what}",
        "checked": "El plan es correcto: {tasks} tareas, {minutes} minutos",
        "commit": "Guardando la meta y sus tareas",
        "clarify": "¿Qué quieres conseguir? Dilo en pocas palabras, por ejemplo: aprender joins de SQL en dos semanas.",
        "extend": "Ya tienes una meta abierta {title!r}. Aprueba para ampliarla con este plan, rechaza para parar.",
        "plan": "Plan",
        "rests": "se apoya en",
        "week": "1 semana",
        "some_weeks": "{count} semanas",
        "weeks": "{weeks} a {hours} h por semana, {total} h en total; la cadena más larga, {critical} h. "
        "Fin: {finish}.",
        "late": "No cabe antes de la fecha límite: {total} h de trabajo, {available} h hasta entonces.",
        "assumed": "Supuestos",
        "left_out": "Queda fuera",
        "mind": "Atención",
        "clipped": "Solo se leyeron los primeros 2000 caracteres de la petición.",
        "hours": "{hours} horas por semana, porque no se indicó otra cosa.",
        "thin": "No se encontró nada adecuado, así que este plan no se apoya en ningún material.",
        "kept": "Lo terminado se conserva: {titles}.",
        "added": "Nuevas",
        "changed": "Cambiadas",
        "dropped": "Canceladas",
        "unchanged": "Sin cambios",
        "committed": "Hecho. La meta {title!r} está guardada con {count} tareas. Empieza por: {first}",
        "revised": "Hecho. La meta {title!r} está revisada: {added} nuevas, {changed} cambiadas, {dropped} canceladas.",
        "rejected": "No se guardó nada.",
        "needs_input": "No encontré ningún objetivo ahí, así que no planifiqué nada. Dime qué quieres conseguir.",
        "duplicate": "No se guardó nada: ya tienes una meta abierta {title!r}. Pídelo otra vez si quieres ampliarla.",
        "stale": "No se guardó nada: {why} Pide el plan otra vez.",
        "invalid_plan": "No salió un plan correcto, así que no se guardó nada: {why}",
        "offline": "Hecho por reglas fijas con el material encontrado; no hay ningún modelo de lenguaje configurado.",
    },
}


def say(locale: str, sentence: str, **facts: object) -> str:
    """Return one sentence in the learner's language."""
    return _SAY[language(locale)][sentence].format(**facts)


def hours(minutes: int) -> str:
    """Return minutes as hours with at most one decimal."""
    return f"{minutes / 60:.1f}".removesuffix(".0")


def weeks(count: int, locale: str) -> str:
    """Return a number of weeks in words."""
    return say(locale, "week" if count == 1 else "some_weeks", count=count)


def described(
    plan: Plan, evidence: Sequence[Evidence], base: Base | None, diff: Mapping[str, Sequence[str]], locale: str
) -> str:
    """Return the plan as Markdown for the learner to decide on."""
    draft, figures = plan["draft"], plan["schedule"]
    tasks = {task["key"]: task for task in draft["tasks"]}
    lines = [f"### {draft['title']}", "", draft["outcome"], ""]
    if base:
        lines += [*_difference(diff, locale), ""]
    cited = {item["id"]: item["heading"] or item["title"] for item in evidence}
    path = figures["critical_path"]
    lines += [_line(number, tasks[key], path, cited, locale) for number, key in enumerate(figures["order"], 1)]
    lines += [
        "",
        say(locale, "weeks", weeks=weeks(figures["weeks"], locale), hours=hours(figures["minutes_per_week"]),
            total=hours(figures["total_minutes"]), critical=hours(figures["critical_minutes"]),
            finish=figures["finish_on"]),
    ]  # fmt: skip
    if not figures["feasible"]:
        available = figures["available_minutes"] or 0
        lines.append(say(locale, "late", total=hours(figures["total_minutes"]), available=hours(available)))
    if not evidence:
        lines.append(say(locale, "thin"))
    lines += _section(say(locale, "assumed"), draft["assumptions"])
    lines += _section(say(locale, "left_out"), draft["not_doing"])
    lines += _section(say(locale, "mind"), [warning["message"] for warning in plan["warnings"]])
    return "\n".join(lines)


def ended(result: Result, locale: str, title: str = "", first: str = "") -> str:
    """Return the closing sentence of a run."""
    status = result.get("status")
    why = result.get("message", "")
    diff = result.get("diff")
    if status == "committed" and diff:
        counts = {name: len(diff[name]) for name in ("added", "changed", "dropped")}
        return say(locale, "revised", title=title, **counts)
    if status == "committed":
        return say(locale, "committed", title=title, count=len(result.get("task_ids", {})), first=first)
    if status in ("stale", "invalid_plan"):
        return say(locale, status, why=why)
    if status in ("rejected", "needs_input"):
        return say(locale, status)
    if status == "duplicate":
        return say(locale, "duplicate", title=title)
    return why


def found(evidence: Sequence[Evidence], locale: str) -> str:
    """Return what was found, to be spoken while the draft is made: its words are not streamed."""
    titles = list(dict.fromkeys(item["heading"] or item["title"] for item in evidence))
    more = f" (+{len(titles) - 4})" if len(titles) > 4 else ""
    return say(locale, "using", titles="; ".join(titles[:4]) + more) if titles else say(locale, "nothing")


def violations_as_text(violations: Sequence[Violation]) -> str:
    """Return violations as one line."""
    return "; ".join(f"{v['task']}: {v['message']}" if v["task"] else v["message"] for v in violations[:6])


def _line(number: int, task: Mapping[str, Any], path: Sequence[str], cited: Mapping[str, str], locale: str) -> str:
    mark = " ◆" if task["key"] in path else ""
    sources = [cited[source] for source in task["sources"] if source in cited]
    rest = f" _({say(locale, 'rests')}: {'; '.join(sources[:2])})_" if sources else ""
    done = " ".join(f"{each.rstrip('.')}." for each in task["done_when"])
    return f"{number}. **{task['title']}** · {task['est_minutes']} min{mark}{rest}  \n   {done}"


def _difference(diff: Mapping[str, Sequence[str]], locale: str) -> list[str]:
    lines = [say(locale, "kept", titles=", ".join(diff["finished"]))] if diff["finished"] else []
    shown = [name for name in ("added", "changed", "dropped", "unchanged") if diff[name]]
    return [*lines, *(f"- {say(locale, name)}: {', '.join(diff[name])}" for name in shown)]


def _section(title: str, items: Sequence[str]) -> list[str]:
    return ["", f"**{title}**", *(f"- {item}" for item in items)] if items else []
