// Starts the page: signs in, draws the rail and the status line, and shows the view the address names.
import { call, me, signIn, signInByLink, signOut, signUp, signedIn } from "/page/api.js";
import * as board from "/page/board.js";
import * as chat from "/page/chat.js";
import { el, fill, toast } from "/page/dom.js";
import * as events from "/page/events.js";
import * as live from "/page/live.js";
import * as wire from "/page/wire.js";

const VIEWS = { board, chat, events, wire };
const root = document.getElementById("view");
const rail = document.getElementById("rail");
const status = document.getElementById("status");
let leave = () => {};
let seen = 0;
let called = "";

async function start() {
  const link = /^#sign-in=(.+)/.exec(location.hash);
  if (link) {
    history.replaceState(null, "", "/");
    await signInByLink(decodeURIComponent(link[1])).catch((error) => toast(error.message));
  }
  signedIn() ? enter() : askWho();
}

async function enter() {
  rail.hidden = false;
  called = me();
  live.disconnect();
  live.connect();
  show();
  called = (await call("GET", `/users/${encodeURIComponent(called)}`).catch(() => null))?.name ?? called;
  draw();
}

function show() {
  if (!signedIn()) return;
  const [name, place] = location.hash.slice(1).split("/");
  const view = VIEWS[name] ?? board;
  leave();
  for (const button of rail.querySelectorAll("button")) {
    if (VIEWS[button.dataset.view] === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  leave = view.open(root, place);
}

function askWho(joining = false) {
  leave();
  leave = () => {};
  rail.hidden = true;
  live.disconnect();
  const who = joining ? el("input", { autocomplete: "name", required: true, maxlength: 200 }) : null;
  const email = el("input", { type: "email", autocomplete: "username", required: true });
  const password = el("input", joining
    ? { type: "password", autocomplete: "new-password", required: true, minlength: 10 }
    : { type: "password", autocomplete: "current-password", required: true });
  const submit = () => (joining ? signUp(who.value, email.value, password.value) : signIn(email.value, password.value));
  fill(root, el("form.signin", { onsubmit: async (event) => {
    event.preventDefault();
    await submit().then(enter, (error) => toast(error.message));
  } }, el("img", { src: "/page/icon.svg", width: 44, height: 44, alt: "" }), el("h1", "AI Goals"),
    joining ? el("label", "Name", who) : null, el("label", "Email address", email),
    el("label", joining ? "Password, at least 10 characters" : "Password", password),
    el("button.primary", joining ? "Create account" : "Sign in"),
    el("button.plain", { type: "button", onclick: () => askWho(!joining) }, joining ? "I have an account" : "Create an account"),
    joining ? null : el("p.muted", "On your own machine, open the sign-in link that the terminal printed. Another one: ",
      el("code", "goals token --user you --link"))));
  (who ?? email).focus();
  draw();
}

function draw(detail) {
  fill(status, signedIn()
    ? [el(`span.${live.state}`, detail ?? live.state), el("span", `${seen} live event${seen === 1 ? "" : "s"}`), el("span.push", called),
      el("a", { href: "#", onclick: async (event) => (event.preventDefault(), await signOut(), askWho()) }, "Sign out")]
    : [el("span", "Not signed in")]);
}

live.listen((kind, data) => {
  if (kind === "received" && data.type === "event") seen += 1;
  draw(kind === "state" ? data : undefined);
});
rail.addEventListener("click", (event) => {
  const view = event.target.closest("button")?.dataset.view;
  if (view) location.hash = view;
});
document.querySelector(".skip").addEventListener("click", (event) => (event.preventDefault(), root.focus()));
addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || /input|textarea|select/i.test(event.target.localName)) return;
  const button = rail.querySelectorAll("button")[Number(event.key) - 1];
  if (button && !rail.hidden) button.click();
});
addEventListener("hashchange", () => (location.hash.startsWith("#sign-in=") ? start() : show()));
addEventListener("goals:signed-in", enter);
addEventListener("goals:signed-out", () => askWho());
start();
