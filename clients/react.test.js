// Both `useStream` hooks, rendered: the one of the SDK (first protocol) and the one of @langchain/react (second).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { JSDOM } from "jsdom";
import { WebSocket } from "undici";

import { startService, until } from "./service.js";

const dom = new JSDOM("<!doctype html><div id=root></div>", { url: "http://localhost/" });
globalThis.window = dom.window;
globalThis.document = dom.window.document;
globalThis.sessionStorage = dom.window.sessionStorage;
globalThis.navigator ??= dom.window.navigator;

const { createElement } = await import("react");
const { createRoot } = await import("react-dom/client");
const { ProtocolWebSocketTransportAdapter } = await import("@langchain/langgraph-sdk/client");
const legacy = await import("@langchain/langgraph-sdk/react");
const modern = await import("@langchain/react");

let service;
before(async () => {
  service = await startService();
});
after(() => service.stop());

function show(useHook, options) {
  const seen = { current: undefined, states: [] };
  function Probe() {
    seen.current = useHook(options);
    seen.states.push(seen.current.messages?.at(-1)?.text ?? seen.current.messages?.at(-1)?.content);
    return null;
  }
  const root = createRoot(document.createElement("div"));
  root.render(createElement(Probe));
  return { seen, unmount: () => root.unmount() };
}

const options = (assistantId) => ({
  apiUrl: service.url,
  assistantId,
  defaultHeaders: { Authorization: `Bearer ${service.ada}` },
  apiKey: service.ada,
});

// The hook reads states over HTTP, with its own headers; a browser's WebSocket has none.
const webSocketFactory = (url) => new WebSocket(url, ["bearer", service.ada]);
const overSocket = () => ({
  transport: new ProtocolWebSocketTransportAdapter({ apiUrl: service.url, webSocketFactory }),
});

for (const [name, hook, more] of [
  ["langgraph-sdk/react", legacy.useStream, () => ({})],
  ["@langchain/react", modern.useStream, () => ({})],
  ["@langchain/react over a WebSocket", modern.useStream, overSocket],
]) {
  test(`${name}: useStream shows an answer`, async () => {
    const { seen, unmount } = show(hook, { ...options("echo"), ...more(), messagesKey: "messages" });
    await until(() => seen.current !== undefined, "it is rendered");
    seen.current.submit({ messages: [{ type: "human", content: "one two three" }] });
    await until(() => seen.current.messages.length === 2 && !seen.current.isLoading, "the answer is there");
    const last = seen.current.messages.at(-1);
    const text = typeof last.content === "string" ? last.content : last.content.map((block) => block.text).join("");
    assert.equal(text, "ONE TWO THREE ");
    assert.equal(seen.current.error, undefined);
    unmount();
  });

  test(`${name}: useStream meets a question and answers it`, async () => {
    const { seen, unmount } = show(hook, { ...options("approval"), ...more() });
    await until(() => seen.current !== undefined, "it is rendered");
    seen.current.submit({ topic: "rust" });
    await until(() => seen.current.interrupt !== undefined && !seen.current.isLoading, "the question is asked");
    assert.deepEqual(seen.current.interrupt.value, { question: "Do rust?" });
    if (seen.current.respond) await seen.current.respond("yes");
    else seen.current.submit(undefined, { command: { resume: "yes" } });
    await until(() => seen.current.values.log?.at(-1) === "done" && !seen.current.isLoading, "it is done");
    assert.deepEqual(seen.current.values.log, ["proposed rust for ada", "answer yes", "done"]);
    unmount();
  });
}
