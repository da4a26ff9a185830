// The events view: what happened to you, live, with the three places each event has reached.
import { call } from "/page/api.js";
import { el, fill, toast } from "/page/dom.js";
import { listen } from "/page/live.js";

const PLACES = [["postgres", "P", "PostgreSQL"], ["lake", "L", "Parquet lake"], ["broker", "R", "RabbitMQ"]];

/** Show the newest events inside `root`, and each new one as it happens. Returns what to do when leaving. */
export function open(root) {
  const feed = el("div.feed");
  let cursors = {};
  fill(root, el("div.page",
    el("div.bar", el("h1", "Events"), el("span.muted", "newest first; P, L and R light up once PostgreSQL, the lake and RabbitMQ have them")), feed));
  const rows = new Map();
  const put = (event, fresh) => {
    if (rows.has(event.id)) return;
    const row = line(event, fresh);
    rows.set(event.id, { row, event });
    fresh ? feed.prepend(row) : feed.append(row);
  };
  const mark = () => rows.forEach(({ row, event }) => fill(row.querySelector(".marks"), marks(event, cursors)));
  const look = async () => {
    cursors = (await call("GET", "/health").catch(() => null))?.parts?.events?.sinks ?? cursors;
    mark();
  };
  call("GET", "/events?limit=100").then(({ items, total }) => {
    for (const event of items) put(event, false);
    if (!total) feed.append(el("div.empty", el("strong", "Nothing has happened yet"), "Every change you make appears here."));
    return look();
  }).catch((error) => toast(error.message));
  const timer = setInterval(look, 4000);
  const stop = listen((kind, frame) => {
    if (kind !== "received" || frame.type !== "event") return;
    feed.querySelector(".empty")?.remove();
    put({ ...frame.event, position: frame.position }, true);
    mark();
  });
  return () => (clearInterval(timer), stop());
}

function line(event, fresh) {
  const changes = event.payload?.changes ?? event.payload ?? {};
  const what = Object.entries(changes).filter(([name, value]) => name !== "id" && value !== null).map(([name, value]) => `${name}=${typeof value === "string" ? value.slice(0, 60) : JSON.stringify(value)}`).join("  ");
  return el(fresh ? "div.row.new" : "div.row", el("span.muted", event.position ?? "…"),
    el("span.muted", new Date(event.recorded_at).toLocaleString([], { dateStyle: "short", timeStyle: "medium" })),
    el(`span.k-${event.entity_type}`, event.type), el("span.what", { title: what }, what), el("span.marks"));
}

function marks(event, cursors) {
  return PLACES.map(([name, letter, label]) => {
    const there = name === "postgres" || (event.position != null && (cursors[name]?.position ?? -1) >= event.position);
    return el(there ? "span.ok" : "span.wait", { title: `${label}: ${there ? "there" : "not yet"}` }, there ? letter : "·");
  });
}
