// What travels between the service and the editor.

export interface Goal {
  id: string;
  title: string;
  status: string;
  priority: string;
  progress_percentage: number;
  version: number;
}

export interface Task {
  id: string;
  goal_id: string;
  title: string;
  type: string;
  status: string;
  estimated_minutes: number | null;
  acceptance_criteria: string[];
  version: number;
}

export interface Snapshot {
  id: string;
  task_id: string;
  file_path: string;
  snapshot_version: number;
  validation_status: "pending" | "passed" | "failed";
  validation_score: number | null;
  validation_feedback: string;
  validation_issues: Issue[];
}

/** How a validation run ended. */
export interface Verdict {
  message?: string;
  hint?: { words: string; held_back: boolean } | null;
}

/** One finding of a validation; lines count from 1. */
export interface Issue {
  type?: string;
  severity?: string;
  line?: number;
  line_start?: number;
  line_end?: number;
  rule_id?: string;
  /** Names the finding when a hint is asked for. */
  identity?: string;
  title?: string;
  why?: string;
  message?: string;
}

export interface Page<T> {
  items: T[];
  total: number;
}

export interface Interrupt {
  id: string;
  value: unknown;
}

/** The LangChain human-in-the-loop shape. */
export interface ApprovalRequest {
  action_requests: { name: string; args: Record<string, unknown>; description?: string }[];
  review_configs: { action_name: string; allowed_decisions: Decision["type"][] }[];
  /** Why the last answer was not taken. */
  error?: string;
}

/** The decisions that have a button; anything else is said in words. */
export type Button = "approve" | "edit" | "reject";

export type Decision =
  | { type: "approve" }
  | { type: "edit"; edited_action: { name: string; args: Record<string, unknown> } }
  | { type: "reject"; message?: string }
  | { type: "respond"; message: string };

export interface Message {
  id?: string;
  type: string;
  name?: string;
  content: string | (string | { type?: string; text?: string })[];
  tool_call_chunks?: { name?: string | null }[];
}

/** Where a run can be found again: its stream, and the last frame that was seen. */
export interface Place {
  thread: string;
  agent: string;
  path: string | null;
  last: string | null;
}

/** The readable text of a message, whose content is a string or a list of blocks. */
export function textOf(message: Message): string {
  if (typeof message.content === "string") return message.content;
  return (message.content ?? []).map((block) => (typeof block === "string" ? block : (block.text ?? ""))).join("");
}

export function approvalOf(value: unknown): ApprovalRequest | null {
  const request = value as ApprovalRequest | null;
  return Array.isArray(request?.action_requests) && request.action_requests.length > 0 ? request : null;
}
