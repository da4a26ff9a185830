// Findings of a validation as places in a document: pure, so that ranges can be tested without an editor.
import type { Issue } from "./protocol.ts";

export type Level = "error" | "warning" | "information" | "hint";

export interface Mark {
  /** Lines and columns count from 0, ends are exclusive. */
  startLine: number;
  startColumn: number;
  endLine: number;
  endColumn: number;
  level: Level;
  code: string;
  message: string;
  identity: string;
}

const LEVELS: Record<string, Level> = {
  essential: "error", error: "error", critical: "error", high: "error",
  actionable: "warning", warning: "warning", medium: "warning", major: "warning",
  informative: "information", info: "information", low: "information", minor: "information",
  celebratory: "hint",
};

/** Place every issue on the lines of `text`; one that names no line, or a line that is gone, lands on the nearest there is. */
export function marksOf(issues: Issue[], text: string): Mark[] {
  const lines = text.split(/\r?\n/);
  return issues.map((issue) => {
    const start = clamp((issue.line_start ?? issue.line ?? 1) - 1, lines.length);
    const end = Math.max(start, clamp((issue.line_end ?? issue.line_start ?? issue.line ?? 1) - 1, lines.length));
    const first = lines[start] ?? "";
    return {
      startLine: start,
      startColumn: first.length - first.trimStart().length,
      endLine: end,
      endColumn: (lines[end] ?? "").trimEnd().length,
      level: LEVELS[issue.severity ?? ""] ?? "warning",
      code: issue.rule_id ?? issue.type ?? "finding",
      message: [issue.title ?? issue.message ?? issue.type ?? "Finding", issue.why].filter(Boolean).join("\n"),
      identity: issue.identity ?? "",
    };
  });
}

function clamp(line: number, count: number): number {
  return Math.min(Math.max(0, line), Math.max(0, count - 1));
}
