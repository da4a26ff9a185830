// A model entry of our own. Without any model VS Code answers a chat request before a participant is asked, with an error or not at all,
// so learners without a model subscription could not use @goals. The entry says what it is when chosen directly.
import * as vscode from "vscode";

const INFO = {
  id: "goals-service", name: "AI Goals service", family: "ai-goals", version: "1", maxInputTokens: 8000, maxOutputTokens: 2000,
  capabilities: { toolCalling: true }, // or it could not be chosen in agent mode, which is what the chat opens in
};

export function offerModel(): vscode.Disposable | null {
  if (typeof vscode.lm?.registerLanguageModelChatProvider !== "function") return null;
  const provider: vscode.LanguageModelChatProvider = {
    // Only where there is no other: Copilot's users keep their models. VS Code 1.105 asks for a default, 1.139 for one that can be chosen.
    provideLanguageModelChatInformation: async () => {
      const alone = (await vscode.lm.selectChatModels({ vendor: "copilot" })).length === 0;
      return [{ ...INFO, isDefault: alone, isUserSelectable: alone }];
    },
    provideLanguageModelChatResponse: async (_model, _messages, _options, progress) => {
      progress.report(new vscode.LanguageModelTextPart("I answer through @goals: try `@goals /plan Learn Rust in six weeks`."));
    },
    provideTokenCount: async (_model, text) => Math.ceil(String(text).length / 4),
  };
  const registered = vscode.lm.registerLanguageModelChatProvider("ai-goals", provider);
  // Registration is lazy; asking once makes the model count for the very first request. The answer waits until
  // this extension is activated, so activation must not wait for the answer.
  void vscode.lm.selectChatModels({ vendor: "ai-goals" });
  return registered;
}
