// Starts `tamis lsp` and shows what it says: diagnostics, costs, plans. All knowledge is in the server.

import * as vscode from "vscode";
import {
  ExecuteCommandRequest,
  LanguageClient,
  LanguageClientOptions,
  ServerOptions,
  TransportKind,
} from "vscode-languageclient/node";

interface Cost {
  params: number;
  macs: number;
  bytes: number;
}

/** What the server tells with `tamis/status` after each check. */
interface Status {
  uri: string;
  model: string | null;
  family: string | null;
  before: Cost | null;
  /** At most this much, where scores decide how much stays. */
  after: Cost | null;
  /** At least this much; the same as `after` where nothing is open, and where the server does not tell. */
  least?: Cost | null;
  errors: number;
}

const PLAN_SCHEME = "tamis-plan";

let client: LanguageClient | undefined;
const statuses = new Map<string, Status>();

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const item = vscode.window.createStatusBarItem("tamis.status", vscode.StatusBarAlignment.Right, 100);
  item.name = "tamis";
  item.command = "tamis.showPlan";
  const plans = new Plans();
  context.subscriptions.push(
    item,
    vscode.workspace.registerTextDocumentContentProvider(PLAN_SCHEME, plans),
    vscode.commands.registerCommand("tamis.showPlan", (uri?: string) => showPlan(plans, uri)),
    vscode.commands.registerCommand("tamis.restart", () => restart(item)),
    vscode.window.onDidChangeActiveTextEditor(() => showStatus(item)),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("tamis.path") || change.affectsConfiguration("tamis.directory")) {
        void restart(item);
      }
    }),
  );
  await start(item);
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

async function start(item: vscode.StatusBarItem): Promise<void> {
  const settings = vscode.workspace.getConfiguration("tamis");
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  const server: ServerOptions = {
    command: settings.get<string>("path", "tamis"),
    args: ["lsp"],
    transport: TransportKind.stdio,
    options: { cwd: folder },
  };
  const options: LanguageClientOptions = {
    documentSelector: [{ language: "tamis" }],
    initializationOptions: { ...plain(settings), status: true },
    synchronize: { configurationSection: "tamis" },
    middleware: {
      workspace: {
        // The status item lives as long as the client does: the setting is ours, not the user's.
        didChangeConfiguration: async () => {
          const now = vscode.workspace.getConfiguration("tamis");
          await client?.sendNotification("workspace/didChangeConfiguration", {
            settings: { tamis: { ...plain(now), status: true } },
          });
        },
      },
    },
  };
  client = new LanguageClient("tamis", "tamis", server, options);
  client.onNotification("tamis/status", (status: Status) => {
    statuses.set(status.uri, status);
    showStatus(item);
  });
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    const path = settings.get<string>("path", "tamis");
    // Nobody waits for the answer: the extension is active all the same, and a new path starts the server.
    const message = `tamis: cannot start \`${path} lsp\`: ${error instanceof Error ? error.message : error}`;
    void vscode.window.showErrorMessage(message, "Set the path").then((choice) => {
      if (choice) {
        void vscode.commands.executeCommand("workbench.action.openSettings", "tamis.path");
      }
    });
  }
}

async function restart(item: vscode.StatusBarItem): Promise<void> {
  await client?.stop();
  client = undefined;
  statuses.clear();
  await start(item);
}

function plain(settings: vscode.WorkspaceConfiguration): Record<string, unknown> {
  const names = ["model", "set", "directory", "hints"];
  return Object.fromEntries(names.map((name) => [name, settings.get(name)]));
}

/** The model, and what it costs after the last step. */
function showStatus(item: vscode.StatusBarItem): void {
  const document = vscode.window.activeTextEditor?.document;
  const uri = document && client?.code2ProtocolConverter.asUri(document.uri);
  const status = uri ? statuses.get(uri) : undefined;
  if (document?.languageId !== "tamis" || !status) {
    item.hide();
    return;
  }
  if (!status.model || !status.before || !status.after) {
    item.text = "$(circle-slash) no model";
    item.tooltip = "The recipe names no model, or it cannot be opened. `tamis.model` stands in for one.";
  } else {
    const name = status.model.split("/").pop();
    const icon = status.errors > 0 ? "$(error)" : "$(layers)";
    const { before, after } = status;
    const least = status.least ?? after;
    const changes = [least, after].map((cost) => Math.round((cost.params / before.params - 1) * 100));
    const change = changes[0] === changes[1] ? `${changes[1]} %` : `${changes[0]} to ${changes[1]} %`;
    item.text = `${icon} ${name}: ${span(least.params, after.params)} params${change === "0 %" ? "" : ` (${change})`}`;
    const row = (what: string, cost: keyof Cost, unit = "") =>
      `| ${what} | ${short(before[cost])}${unit} | ${span(least[cost], after[cost])}${unit} |`;
    item.tooltip = new vscode.MarkdownString(
      [
        `**${status.family}** ${status.model}`,
        "",
        "| | before | after |",
        "|---|---:|---:|",
        row("params", "params"),
        row("MACs", "macs"),
        row("bytes", "bytes", "B"),
        "",
        "Click for the plan.",
      ].join("\n"),
    );
  }
  item.show();
}

/** A cost, or between which two it lies. */
function span(least: number, most: number): string {
  return short(least) === short(most) ? short(most) : `${short(least)} to ${short(most)}`;
}

function short(count: number): string {
  const scales: [number, string][] = [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " K"]];
  const [unit, sign] = scales.find(([unit]) => count >= 0.9995 * unit) ?? [1, " "];
  const amount = count / unit;
  return (amount >= 100 || unit === 1 ? amount.toFixed(0) : amount.toPrecision(3)) + sign;
}

async function showPlan(plans: Plans, given?: string): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  const uri = given ?? (document && client?.code2ProtocolConverter.asUri(document.uri));
  if (!client) {
    void vscode.window.showWarningMessage("tamis: the language server does not run. The setting `tamis.path` is the program.");
    return;
  }
  if (!uri) {
    return;
  }
  const plan = await client.sendRequest(ExecuteCommandRequest.type, { command: "tamis.plan", arguments: [uri] });
  if (typeof plan !== "string") {
    void vscode.window.showWarningMessage("tamis: the recipe has errors, and so no plan.");
    return;
  }
  const shown = plans.put(uri, plan);
  await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(shown), {
    viewColumn: vscode.ViewColumn.Beside,
    preserveFocus: true,
    preview: true,
  });
}

/** Plans as read-only documents. */
class Plans implements vscode.TextDocumentContentProvider {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;

  put(recipe: string, text: string): vscode.Uri {
    const name = vscode.Uri.parse(recipe).path.replace(/\.tamis$/, "");
    const uri = vscode.Uri.from({ scheme: PLAN_SCHEME, path: `${name}.plan` });
    this.texts.set(uri.toString(), text);
    this.changed.fire(uri);
    return uri;
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? "";
  }
}
