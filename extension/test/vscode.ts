// The few parts of the editor's API that the tested modules touch.
export const l10n = { t: (text: string, ...values: unknown[]) => text.replace(/\{(\d)\}/g, (_, at: string) => String(values[Number(at)])) };
export const commands = { executeCommand: async () => undefined };
export class ChatResponseTurn {
  constructor(readonly result: unknown) {}
}
