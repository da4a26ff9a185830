// The JavaScript SDK, in the version of its newest release and in the one its "latest" tag names.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Client } from "@langchain/langgraph-sdk";
import { Client as TaggedLatest } from "langgraph-sdk-tagged-latest";

import { startService } from "./service.js";

let service;
before(async () => {
  service = await startService();
});
after(() => service.stop());

const chat = (text) => ({ messages: [{ role: "user", content: text }] });
const connect = (Kind, who = "ada") => new Kind({ apiUrl: service.url, apiKey: service[who] });

for (const [name, Kind] of [["1.15.0", Client], ["2.0.0", TaggedLatest]]) {
  describe(`langgraph-sdk ${name}`, () => {
    test("streams a run with ids and an end", async () => {
      const client = connect(Kind);
      const { thread_id } = await client.threads.create();
      const parts = [];
      const modes = ["values", "updates", "messages-tuple", "custom"];
      for await (const part of client.runs.stream(thread_id, "echo", { input: chat("one two"), streamMode: modes })) {
        parts.push(part);
      }
      const said = parts.filter((part) => part.event === "messages").map((part) => part.data[0].content);
      assert.equal(said.join(""), "ONE TWO ");
      assert.equal(parts[0].event, "metadata");
      assert.ok(parts.every((part) => part.id === undefined || /^\d+$/.test(part.id)));
    });

    test("meets a question, finds it in the thread, answers it", async () => {
      const client = connect(Kind);
      const { thread_id } = await client.threads.create();
      await client.runs.wait(thread_id, "approval", { input: { topic: "rust" } });
      const thread = await client.threads.get(thread_id);
      assert.equal(thread.status, "interrupted");
      const values = await client.runs.wait(thread_id, "approval", { command: { resume: "yes" } });
      assert.deepEqual(values.log, ["proposed rust for ada", "answer yes", "done"]);
      await assert.rejects(client.runs.wait(thread_id, "approval", { command: { resume: "again" } }), /409/);
    });

    test("finds threads, their runs and their history", async () => {
      const client = connect(Kind);
      const { thread_id } = await client.threads.create({ metadata: { colour: name } });
      await client.runs.wait(thread_id, "echo", { input: chat("hello") });
      const found = await client.threads.search({ metadata: { colour: name } });
      assert.equal(found[0].values.messages.at(-1).content, "HELLO ");
      const runs = await client.runs.list(thread_id, { select: ["run_id", "status"] });
      assert.deepEqual(Object.keys(runs[0]).sort(), ["run_id", "status"]);
      const history = await client.threads.getHistory(thread_id);
      assert.ok(history.length >= 2);
      const copy = await client.threads.copy(thread_id);
      assert.equal((await client.threads.getState(copy.thread_id)).values.messages.length, 2);
      assert.deepEqual(await connect(Kind, "bob").threads.search({ metadata: { colour: name } }), []);
      await client.threads.delete(thread_id);
      await assert.rejects(client.threads.get(thread_id), /404/);
    });

    test("rejoins a finished stream from its beginning", async () => {
      const client = connect(Kind);
      const { thread_id } = await client.threads.create();
      const run = await client.runs.create(thread_id, "echo", { input: chat("a b"), streamMode: ["messages-tuple"] });
      await client.runs.join(thread_id, run.run_id);
      const said = [];
      const options = { lastEventId: "-1", streamMode: ["messages-tuple"] };
      for await (const part of client.runs.joinStream(thread_id, run.run_id, options)) {
        if (part.event === "messages") said.push(part.data[0].content);
      }
      assert.equal(said.join(""), "A B ");
    });
  });
}

test("the second protocol streams text and state", async () => {
  const stream = connect(Client).threads.stream({ assistantId: "echo" });
  const spoken = [];
  const reading = (async () => {
    for await (const message of stream.messages) spoken.push(await message.text);
  })();
  await stream.run.start({ input: chat("one two") });
  const output = await stream.output;
  await reading;
  await stream.close();
  assert.deepEqual(spoken, ["ONE TWO "]);
  assert.equal(output.messages.length, 2);
});
