// Builds elements. Text always goes in as text, so nothing a person or a model wrote can become markup.

/** Make an element: `el("button.primary", {onclick}, "Save")`. Attributes that are false or null are left out. */
export function el(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const part of rest.flat(Infinity)) {
    if (part == null || part === false) continue;
    if (part instanceof Node || typeof part !== "object") node.append(part);
    else for (const [name, value] of Object.entries(part)) set(node, name, value);
  }
  return node;
}

function set(node, name, value) {
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (value === true) node.setAttribute(name, "");
  else if (value !== false && value != null) node.setAttribute(name, value);
}

/** Replace everything inside `parent`. */
export const fill = (parent, ...children) => parent.replaceChildren(...children.flat(Infinity).filter((one) => one != null && one !== false));

const SVG = "http://www.w3.org/2000/svg";

/** A progress ring, 0 to 100. */
export function ring(percent) {
  const round = Math.round(percent);
  const length = 2 * Math.PI * 18;
  const svg = shape("svg", { viewBox: "0 0 44 44", class: round === 100 ? "ring full" : percent ? "ring" : "ring none", role: "img", "aria-label": `${round} percent` });
  svg.append(
    shape("circle", { cx: 22, cy: 22, r: 18 }),
    shape("circle", { cx: 22, cy: 22, r: 18, class: "done", "stroke-dasharray": `${(length * percent) / 100} ${length}` }),
    shape("text", { x: 22, y: 23 }, `${round}`),
  );
  return svg;
}

function shape(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

/** Show a short message in the corner. */
export function toast(text, good = false) {
  const node = el(good ? "div.toast.good" : "div.toast", text);
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), 7000);
}

const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** "3 minutes ago", as an element that tells the whole time when pointed at. */
export function ago(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = units.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  return el("time", { datetime: iso, title: new Date(iso).toLocaleString() }, AGO.format(Math.round(seconds / size), unit));
}
