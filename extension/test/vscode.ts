// The few parts of the editor's API that the tested modules touch. What a test sets or reads lies in `editor`.
export const editor = {
  settings: { serverUrl: "http://127.0.0.1:8000" } as Record<string, unknown>,
  /** What is typed into the next input boxes. */
  typed: [] as (string | undefined)[],
  executed: [] as [command: string, ...args: unknown[]][],
  models: {} as Record<string, Promise<unknown[]>>,
  provider: null as { provideLanguageModelChatInformation(): Promise<[{ isDefault: boolean; isUserSelectable: boolean }]> } | null,
};

export const l10n = { t: (text: string, ...values: unknown[]) => text.replace(/\{(\d)\}/g, (_, at: string) => String(values[Number(at)])) };
export const commands = { executeCommand: async (...call: [string, ...unknown[]]) => void editor.executed.push(call) };
export const window = { showInputBox: async () => editor.typed.shift(), showInformationMessage: async () => undefined, showErrorMessage: async () => undefined };
export const workspace = {
  getConfiguration: () => ({
    get: (name: string, otherwise: unknown) => editor.settings[name] ?? otherwise,
    update: async (name: string, value: unknown) => void (editor.settings[name] = value),
  }),
};
export const lm = {
  registerLanguageModelChatProvider: (_vendor: string, provider: typeof editor.provider) => ((editor.provider = provider), { dispose: () => {} }),
  selectChatModels: async ({ vendor }: { vendor: string }) => editor.models[vendor] ?? [],
};
export const ConfigurationTarget = { Global: 1 };
export class CancellationError extends Error {}
export class LanguageModelTextPart {}
export class ChatResponseTurn {
  constructor(readonly result: unknown) {}
}
export class EventEmitter {
  private readonly listeners: ((event: unknown) => void)[] = [];
  event = (listener: (event: unknown) => void) => this.listeners.push(listener);
  fire = (event: unknown) => this.listeners.forEach((listener) => listener(event));
}
