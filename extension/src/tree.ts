// Goals and their tasks in the side bar; a ticked box completes a task.
import * as vscode from "vscode";
import { SignedOut, type Client } from "./client.ts";
import { explain } from "./failure.ts";
import type { Goal, Page, Task } from "./protocol.ts";

export type Node = { kind: "goal"; goal: Goal; tasks: Task[] } | { kind: "task"; task: Task };

export class GoalTree implements vscode.TreeDataProvider<Node> {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly client: Client, private readonly counted: (done: number, total: number) => void) {}

  refresh(): void {
    this.changed.fire();
  }

  getTreeItem(node: Node): vscode.TreeItem {
    return node.kind === "goal" ? goalItem(node.goal, node.tasks) : taskItem(node.task);
  }

  async getChildren(parent?: Node): Promise<Node[]> {
    if (parent?.kind === "task") return [];
    try {
      if (parent) {
        const tasks = await this.client.call<Page<Task>>("GET", `/tasks?goal_id=${parent.goal.id}&limit=100`);
        return tasks.items.map((task) => ({ kind: "task", task }));
      }
      const [goals, tasks] = await Promise.all([this.client.call<Page<Goal>>("GET", "/goals?limit=100"), this.client.call<Page<Task>>("GET", "/tasks?limit=100")]);
      await vscode.commands.executeCommand("setContext", "aiGoals.offline", false);
      this.counted(goals.items.filter((goal) => goal.status === "completed").length, goals.total);
      return goals.items.map((goal) => ({ kind: "goal", goal, tasks: tasks.items.filter((task) => task.goal_id === goal.id) }));
    } catch (error) {
      await vscode.commands.executeCommand("setContext", "aiGoals.offline", !(error instanceof SignedOut));
      return [];
    }
  }

  /** Carry out what the learner ticked or unticked, then show what the service made of it. */
  async tick(changes: readonly (readonly [Node, vscode.TreeItemCheckboxState])[]): Promise<void> {
    for (const [node, state] of changes) {
      if (node.kind !== "task") continue;
      const status = state === vscode.TreeItemCheckboxState.Checked ? "completed" : "in_progress";
      try {
        await this.client.call("PUT", `/tasks/${node.task.id}`, { status }, { "If-Match": `"${node.task.version}"` });
      } catch (error) {
        void vscode.window.showWarningMessage(explain(error));
      }
    }
    this.refresh();
  }
}

function goalItem(goal: Goal, tasks: Task[]): vscode.TreeItem {
  const done = tasks.filter((task) => task.status === "completed").length;
  const item = new vscode.TreeItem(goal.title, vscode.TreeItemCollapsibleState.Collapsed);
  item.id = goal.id;
  item.description = tasks.length ? `${done}/${tasks.length}` : `${Math.round(goal.progress_percentage)} %`;
  item.iconPath = new vscode.ThemeIcon(goal.status === "completed" ? "pass-filled" : goal.status === "in_progress" || done ? "circle-large-filled" : "circle-large-outline");
  item.contextValue = "goal";
  return item;
}

function taskItem(task: Task): vscode.TreeItem {
  const item = new vscode.TreeItem(task.title, vscode.TreeItemCollapsibleState.None);
  item.id = task.id;
  if (task.estimated_minutes) item.description = `${task.estimated_minutes} min`;
  item.tooltip = [task.title, ...task.acceptance_criteria.map((each) => `• ${each}`)].join("\n");
  item.checkboxState = task.status === "completed" ? vscode.TreeItemCheckboxState.Checked : vscode.TreeItemCheckboxState.Unchecked;
  item.contextValue = "task";
  return item;
}
