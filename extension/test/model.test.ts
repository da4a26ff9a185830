// The model entry: it must not hold up activation, and must not push itself before a real model.
import assert from "node:assert/strict";
import { test } from "node:test";
import { offerModel } from "../src/model.ts";
import { editor } from "./vscode.ts";

test("offering the model waits for nothing, for VS Code answers only after activation", () => {
  editor.models = { "ai-goals": new Promise(() => {}) };
  assert.ok(offerModel());
});

for (const [others, isDefault] of [[[], true], [[{ id: "gpt" }], false]] as const) {
  test(`with ${others.length} other models it is ${isDefault ? "" : "not "}the default`, async () => {
    editor.models = { copilot: Promise.resolve([...others]) };
    offerModel();
    assert.equal((await editor.provider!.provideLanguageModelChatInformation())[0]!.isDefault, isDefault);
  });
}
