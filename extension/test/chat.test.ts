// The participant: what a learner sees while an answer streams, what is kept when the window goes away, and how they decide.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Goals } from "../src/chat.ts";
import { Client, SignedOut } from "../src/client.ts";
import { serve, type Scripted } from "./service.ts";
import { ChatResponseTurn, editor } from "./vscode.ts";

const PLAN = {
  action_requests: [{ name: "create_plan", args: { plan: {} }, description: "Six tasks" }],
  review_configs: [{ action_name: "create_plan", allowed_decisions: ["approve", "edit", "respond", "reject"] }],
};
const ASKING: Scripted["frames"] = [["values", { __interrupt__: [{ id: "i", value: PLAN }] }]];

async function chatting(script: Partial<Scripted>, work: (chat: Awaited<ReturnType<typeof open>>) => Promise<void>): Promise<void> {
  const service = await serve({ frames: [], ...script });
  try {
    await work(open(service));
  } finally {
    await service.close();
  }
}

function open({ url, sent }: Awaited<ReturnType<typeof serve>>) {
  const kept = new Map<string, unknown>();
  const memory = { get: (key: string, otherwise?: unknown) => kept.get(key) ?? otherwise, update: async (key: string, value: unknown) => void kept.set(key, value), keys: () => [] };
  const shown: string[] = [];
  const stream = {
    markdown: (text: string) => shown.push(text),
    progress: (text: string) => shown.push(`(${text})`),
    button: ({ title }: { title: string }) => shown.push(`[${title}]`),
  };
  const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose: () => {} }) };
  const marked: string[] = [];
  const desk = { handIn: async () => ({ snapshot: "s1", mark: async () => void marked.push("s1") }) };
  const goals = new Goals(new Client(() => url, { token: async () => "t" }, "es"), memory as never, desk);
  const history: ChatResponseTurn[] = [];
  const ask = async (prompt: string, command?: string) => {
    const result = await goals.handle({ command, prompt } as never, { history } as never, stream as never, token as never);
    history.push(new ChatResponseTurn(result));
    return result as { errorDetails?: { message: string } };
  };
  const runs = () => sent.map((body) => JSON.parse(body)).filter((body) => body.assistant_id);
  const reload = () => void (history.length = 0);
  return { goals, ask, shown, marked, runs, reload, kept };
}

afterEach(() => void (editor.executed.length = 0));

test("words, steps and the buttons of an approval reach the chat", () =>
  chatting(
    {
      frames: [
        ["metadata", { run_id: "r" }],
        ["custom", { type: "progress", step: "retrieve", text: "Looking for similar goals" }],
        ["messages", [{ id: "1", type: "AIMessageChunk", content: "Here is " }, {}]],
        ["messages", [{ id: "1", type: "AIMessageChunk", content: [{ type: "text", text: "a plan." }] }, {}]],
        ["messages", [{ id: "1", type: "ai", content: "Here is a plan." }, {}]],
        ["messages", [{ id: "do-not-render-1", type: "AIMessageChunk", content: "internal" }, {}]],
        ...ASKING,
      ],
    },
    async ({ ask, shown, goals, runs }) => {
      await ask("Learn Rust", "plan");
      assert.deepEqual(shown, [
        "(Looking for similar goals)", "Here is ", "a plan.", "\n\nSix tasks",
        "\n\n_Approve it, or write what should be different._", "[Approve]", "[Edit]", "[Reject]",
      ]);
      assert.equal(goals.unfinished, false);
      assert.deepEqual(runs()[0].context, { locale: "es" });
    },
  ));

test("a plan that was streamed is not shown a second time", () =>
  chatting({ frames: [["messages", [{ id: "1", type: "ai", content: "# Plan\n\nSix tasks\n" }, {}]], ...ASKING] }, async ({ ask, shown }) => {
    await ask("Learn Rust", "plan");
    assert.equal(shown.filter((text) => text.includes("Six tasks")).length, 1);
  }));

for (const [words, decision] of [
  ["approve", { type: "approve" }],
  ["Reject", { type: "reject", message: "Reject" }],
  ["Make it three weeks", { type: "respond", message: "Make it three weeks" }],
] as const) {
  test(`"${words}" answers a plan that waits`, () =>
    chatting({ frames: ASKING }, async ({ ask, runs }) => {
      await ask("Learn Rust", "plan");
      await ask(words);
      assert.deepEqual(runs()[1].command, { resume: { i: { decisions: [decision] } } });
    }));
}

test("in a new chat the word approves, and other words begin something new", () =>
  chatting({ frames: ASKING }, async ({ ask, reload, runs }) => {
    for (const words of ["Learn Go", "approve"]) {
      await ask("Learn Rust", "plan");
      reload();
      await ask(words);
      reload();
    }
    assert.deepEqual(runs().map((run) => Object.keys(run).includes("command")), [false, false, false, true]);
  }));

test("a button decides by a request of its own, and a decided plan is not decided again", () =>
  chatting({ frames: ASKING }, async ({ ask, goals, runs }) => {
    await ask("Learn Rust", "plan");
    await goals.decide("approve");
    assert.deepEqual(editor.executed.slice(-2), [["workbench.action.chat.open", { query: "@goals Approve", isPartialQuery: true }], ["workbench.action.chat.submit"]]);
    await ask("Approve");
    assert.deepEqual(runs()[1].command, { resume: { i: { decisions: [{ type: "approve" }] } } });
  }));

test("a button whose request never arrived decides nothing that is said later", () =>
  chatting({ frames: ASKING }, async ({ ask, goals, runs }) => {
    await ask("Learn Rust", "plan");
    await goals.decide("approve");
    await ask("Shorter, please");
    assert.deepEqual(runs()[1].command, { resume: { i: { decisions: [{ type: "respond", message: "Shorter, please" }] } } });
  }));

test("a decision that did not reach the service can be made again", async () => {
  const service = await serve({ frames: ASKING });
  const { ask, kept } = open(service);
  await ask("Learn Rust", "plan");
  await service.close();
  assert.ok((await ask("approve")).errorDetails);
  assert.equal((kept.get("aiGoals.pending") as { interrupt: { id: string } }).interrupt.id, "i");
});

test("a question in plain words is answered in plain words", () =>
  chatting({ frames: [["values", { __interrupt__: [{ id: "q", value: { question: "Which course?" } }] }]] }, async ({ ask, shown, runs }) => {
    await ask("Learn Rust", "plan");
    assert.deepEqual(shown, ["\n\nWhich course?"]);
    await ask("rust-101");
    assert.deepEqual(runs()[1].command, { resume: { q: "rust-101" } });
  }));

test("a conversation stays on its thread", () =>
  chatting({}, async ({ ask, runs }) => {
    await ask("What next?", "next");
    await ask("And then?");
    assert.deepEqual(runs().map((run) => run.assistant_id), ["task_suggestion", "task_suggestion"]);
    assert.equal(runs()[1].input.messages[0].content, "And then?");
  }));

test("a check in the chat hands the open file in, and marks what was found", () =>
  chatting({}, async ({ ask, marked, runs }) => {
    await ask("", "validate");
    assert.equal(runs()[0].input.messages[0].content, "snapshot_id: s1");
    assert.deepEqual(marked, ["s1"]);
  }));

test("a hint is asked for one finding, and shown without the rest of the verdict", () =>
  chatting({ frames: [["values", { result: { message: "Not passed yet", hint: { words: "Look at line 8.", held_back: true } } }]] }, async ({ ask, goals, shown, runs, marked }) => {
    await goals.hint("s1", "f1", "Empty input");
    await ask("Empty input", "validate");
    assert.deepEqual(runs()[0].input, { snapshot_id: "s1", finding: "f1", hint_level: 4 });
    assert.deepEqual(shown, ["Look at line 8.", "\n\n_The next hint opens when the code has really changed._"]);
    assert.deepEqual(marked, []);
  }));

test("who is not signed in is shown the way", async () => {
  const shown: string[] = [];
  const client = new Client(() => "http://127.0.0.1:9", { token: () => Promise.reject(new SignedOut("Sign in first.")) });
  const goals = new Goals(client, { get: () => null, update: async () => {}, keys: () => [] } as never, { handIn: () => Promise.reject(new Error()) });
  const stream = { markdown: (text: string) => shown.push(text), button: ({ title }: { title: string }) => shown.push(`[${title}]`) };
  await goals.handle({ prompt: "Hello" } as never, { history: [] } as never, stream as never, { onCancellationRequested: () => ({ dispose: () => {} }) } as never);
  assert.deepEqual(shown, ["Sign in first.", "[Sign In]"]);
});

test("a service that is down is named, not its socket", async () => {
  const goals = new Goals(new Client(() => "http://127.0.0.1:9", { token: async () => "t" }), { get: () => null, update: async () => {}, keys: () => [] } as never, { handIn: () => Promise.reject(new Error()) });
  const result = await goals.handle({ prompt: "Hello" } as never, { history: [] } as never, {} as never, { onCancellationRequested: () => ({ dispose: () => {} }) } as never);
  assert.match((result as { errorDetails: { message: string } }).errorDetails.message, /does not answer at http/);
});
