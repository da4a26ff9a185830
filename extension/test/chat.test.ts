// The participant: what a learner sees while an answer streams, and what is kept when the window goes away.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Goals } from "../src/chat.ts";
import { Client } from "../src/client.ts";
import { serve } from "./service.ts";

const PLAN = { action_requests: [{ name: "create_plan", args: { plan: {} }, description: "Six tasks" }], review_configs: [{ action_name: "create_plan", allowed_decisions: ["approve", "reject"] }] };

test("words, steps and the buttons of an approval reach the chat", async () => {
  const service = await serve({
    frames: [
      ["metadata", { run_id: "r" }],
      ["custom", { type: "progress", step: "retrieve", text: "Looking for similar goals" }],
      ["messages", [{ id: "1", type: "AIMessageChunk", content: "Here is " }, {}]],
      ["messages", [{ id: "1", type: "AIMessageChunk", content: [{ type: "text", text: "a plan." }] }, {}]],
      ["messages", [{ id: "1", type: "ai", content: "Here is a plan." }, {}]],
      ["messages", [{ id: "do-not-render-1", type: "AIMessageChunk", content: "internal" }, {}]],
      ["values", { __interrupt__: [{ id: "i", value: PLAN }] }],
    ],
  });
  const kept = new Map<string, unknown>();
  const memory = { get: (key: string, otherwise?: unknown) => kept.get(key) ?? otherwise, update: async (key: string, value: unknown) => void kept.set(key, value), keys: () => [] };
  const shown: string[] = [];
  const stream = {
    markdown: (text: string) => shown.push(text),
    progress: (text: string) => shown.push(`(${text})`),
    button: ({ title }: { title: string }) => shown.push(`[${title}]`),
  };
  const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose: () => {} }) };
  const goals = new Goals(new Client(() => service.url, { token: async () => "t" }), memory as never, async () => "");
  try {
    await goals.handle({ command: "plan", prompt: "Learn Rust" } as never, { history: [] } as never, stream as never, token as never);
  } finally {
    await service.close();
  }
  assert.deepEqual(shown, ["(Looking for similar goals)", "Here is ", "a plan.", "\n\nSix tasks\n", "[Approve]", "[Reject]"]);
  assert.equal(goals.unfinished, false);
  assert.equal((kept.get("aiGoals.pending") as { interrupt: { id: string } }).interrupt.id, "i");
});
