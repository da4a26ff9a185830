// The board: goals by status, and one goal with its tasks, its history, and how it was at any past moment.
import { call } from "/page/api.js";
import { ago, el, fill, ring, toast } from "/page/dom.js";
import { listen } from "/page/live.js";

const COLUMNS = [["pending", "To do"], ["in_progress", "In progress"], ["paused", "Paused"], ["completed", "Done"]];

/** Show the board, or the goal named in `place`, inside `root`. Returns what to do when leaving. */
export function open(root, place) {
  const show = place ? () => showGoal(root, place) : () => showBoard(root);
  const safely = (flash) => show(flash).catch((error) => toast(error.message));
  safely();
  let due = null;
  const stop = listen((kind, frame) => {
    if (kind !== "received" || frame.type !== "event" || due) return;
    due = setTimeout(() => ((due = null), safely(frame.event.entity_id)), 150);
  });
  return () => (clearTimeout(due), stop());
}

async function showBoard(root, flash) {
  const { items, total } = await call("GET", "/goals?limit=100");
  const columns = COLUMNS.map(([status, label]) => {
    const goals = items.filter((goal) => goal.status === status);
    return el("section.column", { "aria-label": label }, el("header", el("h2", label), el("span.count", goals.length)),
      goals.map((goal) => card(goal, goal.id === flash)));
  });
  fill(root, el("div.page",
    el("div.bar", el("h1", "Your goals"), el("span.muted", total > items.length ? `${items.length} of ${total}` : ""),
      el("span.push"), el("button.primary", { onclick: () => (location.hash = "chat") }, "Plan a goal")),
    total ? el("div.board", columns)
      : el("div.empty", el("strong", "Nothing planned yet"), "Tell the planner what you want to learn, and approve what it proposes.")));
}

function card(goal, flash) {
  const late = goal.due_at && goal.status !== "completed" && Date.parse(goal.due_at) < Date.now();
  return el(flash ? "button.card.flash" : "button.card", { onclick: () => (location.hash = `board/${goal.id}`) },
    ring(goal.progress_percentage), el("span.title", goal.title),
    el("span.meta", el(`span.tag.${goal.priority}`, goal.priority),
      late ? el("span.tag.late", "⚠ overdue") : goal.due_at ? el("span", "due ", ago(goal.due_at)) : null,
      el("span", goal.course_id ?? "")));
}

async function showGoal(root, id) {
  const [goal, tasks, history] = await Promise.all([
    call("GET", `/goals/${id}`),
    call("GET", `/tasks?goal_id=${id}&limit=100`),
    call("GET", `/events/entities/goal/${id}/history?limit=100`),
  ]);
  const done = tasks.items.filter((task) => task.status === "completed").length;
  fill(root, el("div.page",
    el("div.bar", el("button", { onclick: () => (location.hash = "board") }, "← Board"), ring(goal.progress_percentage),
      el("div", el("h1", goal.title), el("span.muted", `${goal.status.replace("_", " ")} · ${done} of ${tasks.total} tasks done`))),
    el("div.split",
      el("div", goal.description ? el("p", goal.description) : null,
        el("ul.tasks", tasks.items.map((task) => row(root, id, task))),
        tasks.total ? null : el("div.empty", el("strong", "No tasks yet"), "Ask the planner to break this goal down.")),
      el("aside", el("h2", "History"), past(goal.id, history.items)))));
}

function row(root, goalId, task) {
  const box = el("input", { type: "checkbox", "aria-label": `Complete ${task.title}`, checked: task.status === "completed" });
  box.onchange = async () => {
    box.disabled = true;
    try {
      await call("PUT", `/tasks/${task.id}`, { status: box.checked ? "completed" : "in_progress" }, { headers: { "If-Match": `"${task.version}"` } });
    } catch (error) {
      toast(error.message);
    }
    await showGoal(root, goalId);
  };
  return el(`li.${task.status}`, box, el("span.title", task.title),
    el("span.meta.muted", [task.type, task.estimated_minutes && `${task.estimated_minutes} min`].filter(Boolean).join(" · ")),
    task.acceptance_criteria.length ? el("span.done-when", "Done when: ", task.acceptance_criteria.map((each) => each.replace(/\.?$/, ".")).join(" ")) : null);
}

function past(goalId, events) {
  const shown = el("div.muted");
  const slider = el("input", { type: "range", min: 1, max: Math.max(1, events.length), value: events.length, "aria-label": "Travel in time" });
  slider.oninput = async () => {
    const event = events[slider.value - 1];
    const replayed = await call("POST", "/events/replay", { entity_type: "goal", entity_id: goalId, version: event.entity_version });
    const state = replayed.state ?? {};
    fill(shown, el("p", `As of ${new Date(event.recorded_at).toLocaleString()}: `, el("strong", state.title ?? "deleted"),
      ` is ${(state.status ?? "gone").replace("_", " ")} at ${Math.round(state.progress_percentage ?? 0)} %.`));
  };
  return el("div", slider, shown, el("ol.history", events.toReversed().map((event) =>
    el("li", el(`span.k-${event.entity_type}`, event.type), ago(event.recorded_at)))));
}
