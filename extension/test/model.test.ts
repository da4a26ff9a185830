// The model entry: it must not hold up activation, and must not push itself before a real model.
import assert from "node:assert/strict";
import { test } from "node:test";
import { offerModel } from "../src/model.ts";
import { editor } from "./vscode.ts";

test("offering the model waits for nothing, for VS Code answers only after activation", () => {
  editor.models = { "ai-goals": new Promise(() => {}) };
  assert.ok(offerModel());
});

for (const others of [[], [{ id: "gpt" }]]) {
  test(`beside ${others.length} other models it is ${others.length ? "out of the way" : "the one to use"}`, async () => {
    editor.models = { copilot: Promise.resolve(others) };
    offerModel();
    const [{ isDefault, isUserSelectable }] = await editor.provider!.provideLanguageModelChatInformation();
    assert.deepEqual([isDefault, isUserSelectable], [!others.length, !others.length]);
  });
}
