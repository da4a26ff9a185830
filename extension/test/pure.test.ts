// Frames, findings and translations.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { marksOf } from "../src/findings.ts";
import { approvalOf, textOf } from "../src/protocol.ts";
import { frames } from "../src/sse.ts";
import { all } from "./service.ts";

async function* bytes(text: string, size: number): AsyncGenerator<Uint8Array> {
  const whole = new TextEncoder().encode(text);
  for (let at = 0; at < whole.length; at += size) yield whole.slice(at, at + size);
}

for (const size of [1, 3, 1000]) {
  test(`frames survive being cut into pieces of ${size} bytes`, async () => {
    const text = 'event: metadata\r\ndata: {"run_id":"ñ"}\r\nid: 1\r\n\r\n: heartbeat\r\n\r\nevent: values\ndata: {"a":\ndata: 1}\n\nevent: end\n\nevent: half';
    assert.deepEqual(await all(frames(bytes(text, size))), [
      { event: "metadata", data: { run_id: "ñ" }, id: "1" },
      { event: "values", data: { a: 1 }, id: null },
      { event: "end", data: null, id: null },
    ]);
  });
}

test("a finding is marked where its code stands, indentation left out", () => {
  const [mark] = marksOf([{ line_start: 2, line_end: 3, severity: "essential", rule_id: "E1", title: "Broken", why: "It loops." }], "def f():\n    while True:\n        pass  \n");
  assert.deepEqual(mark, { startLine: 1, startColumn: 4, endLine: 2, endColumn: 12, level: "error", code: "E1", message: "Broken\nIt loops.", identity: "" });
});

test("a finding on a line that is gone lands on the last one", () => {
  const [mark] = marksOf([{ line: 99, severity: "odd" }], "one\ntwo");
  assert.equal(mark?.startLine, 1);
  assert.equal(mark?.level, "warning");
});

test("text is read from strings and from blocks alike", () => {
  assert.equal(textOf({ type: "ai", content: "a" }), "a");
  assert.equal(textOf({ type: "ai", content: [{ type: "text", text: "a" }, "b", { type: "image" }] }), "ab");
});

test("only a human-in-the-loop request is taken for one", () => {
  assert.equal(approvalOf({ question: "?" }), null);
  assert.equal(approvalOf(null), null);
  assert.ok(approvalOf({ action_requests: [{ name: "a", args: {} }], review_configs: [] }));
});

test("every text exists in English and Spanish", async () => {
  const [english, spanish, manifest, bundle] = await Promise.all(
    ["package.nls.json", "package.nls.es.json", "package.json", "l10n/bundle.l10n.es.json"].map((name) => readFile(name, "utf8")),
  );
  const keys = Object.keys(JSON.parse(english!));
  assert.deepEqual(Object.keys(JSON.parse(spanish!)), keys);
  for (const [, key] of manifest!.matchAll(/"%([^%"]+)%"/g)) assert.ok(keys.includes(key!), `package.nls.json lacks ${key}`);
  const sources = await Promise.all(["chat", "extension", "failure", "session", "tree", "validation"].map((name) => readFile(`src/${name}.ts`, "utf8")));
  const used = new Set(sources.flatMap((source) => [...source.matchAll(/l10n\.t\("([^"]+)"/g)].map(([, text]) => text!)));
  const known = new Set(Object.keys(JSON.parse(bundle!)));
  assert.deepEqual([...used].filter((text) => !known.has(text)), []);
  assert.deepEqual([...known].filter((text) => !used.has(text)), []);
});
