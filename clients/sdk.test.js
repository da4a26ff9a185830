// The JavaScript SDK, in the version of its newest release and in the one its "latest" tag names.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Client } from "@langchain/langgraph-sdk";
import { Client as TaggedLatest } from "langgraph-sdk-tagged-latest";
import { WebSocket } from "undici"; // as browsers have it: no headers

import { startService, until } from "./service.js";

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

async function streamsTextAndState(stream) {
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
}

test("the second protocol streams text and state", () =>
  streamsTextAndState(connect(Client).threads.stream({ assistantId: "echo" })));

// The SDK sends no token with a WebSocket; where one is opened there is room for it.
const overSocket = (assistantId, who = "ada", opened = []) =>
  new Client({ apiUrl: service.url, apiKey: null }).threads.stream({
    assistantId,
    transport: "websocket",
    webSocketFactory: (url) => {
      opened.push(new WebSocket(url, ["bearer", service[who]]));
      return opened.at(-1);
    },
  });

test("the second protocol over a WebSocket streams text and state", () => streamsTextAndState(overSocket("echo")));

test("over a WebSocket a question is met and answered, and the tree is told", async () => {
  const stream = overSocket("approval");
  await stream.run.start({ input: { topic: "rust" } });
  await until(() => stream.interrupted, "the question is asked");
  assert.deepEqual(stream.interrupts[0].payload, { question: "Do rust?" });
  assert.equal((await stream.agent.getTree()).tree.status, "interrupted");
  await stream.respondInput({ interrupt_id: stream.interrupts[0].interruptId, namespace: [], response: "yes" });
  const answered = await stream.subscribe("values");
  for await (const event of answered) if (event.params.data.log?.at(-1) === "done") break;
  const state = await connect(Client).threads.getState(stream.threadId);
  assert.deepEqual(state.values.log, ["proposed rust for ada", "answer yes", "done"]);
  await stream.close();
});

test("a dropped WebSocket is opened again and nothing is lost or doubled", async () => {
  const opened = [];
  const stream = overSocket("echo", "ada", opened);
  const heard = [];
  const subscription = await stream.subscribe({ channels: ["messages", "values", "lifecycle"] });
  const reading = (async () => {
    for await (const event of subscription) heard.push(event.seq);
  })();
  await stream.run.start({ input: chat("one") });
  await stream.output;
  opened.at(-1).close(3000);
  await until(() => opened.length === 2 && opened[1].readyState === 1, "it is connected again");
  await stream.run.start({ input: chat("two") });
  await until(() => heard.length > 0 && stream.ordering.lastSeenSeq > heard.length, "the second run is heard");
  await new Promise((resolve) => setTimeout(resolve, 500));
  await stream.close();
  await reading;
  assert.equal(new Set(heard).size, heard.length);
});

test("a WebSocket of nobody ends for good", async () => {
  const opened = [];
  const stream = overSocket("echo", "nobody", opened);
  await assert.rejects(stream.run.start({ input: chat("one") }), /4401/);
  assert.equal(opened.length, 1);
});
