// The server, driven with the protocol library that the extension uses, and as the extension starts it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);
const rpc = require("vscode-jsonrpc/node");
const root = new URL("../../..", import.meta.url).pathname;
const config = join(root, "tests/suite/models/bert.json");

test("a recipe is written, mended and understood", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tamis-"));
  const server = spawn(process.env.TAMIS ?? "tamis", ["lsp", "--stdio"], { cwd: folder });
  const connection = rpc.createMessageConnection(
    new rpc.StreamMessageReader(server.stdout),
    new rpc.StreamMessageWriter(server.stdin),
  );
  const seen = { diagnostics: [], status: [] };
  const waiting = [];
  const told = (kind) => (params) => {
    seen[kind].push(params);
    waiting.splice(0).forEach((wake) => wake());
  };
  connection.onNotification("textDocument/publishDiagnostics", told("diagnostics"));
  connection.onNotification("tamis/status", told("status"));
  connection.onRequest("client/registerCapability", () => null);
  connection.listen();
  const until = async (kind, fits) => {
    for (;;) {
      const found = seen[kind].find(fits);
      if (found) {
        return found;
      }
      await new Promise((wake) => waiting.push(wake));
    }
  };
  const hello = await connection.sendRequest("initialize", {
    processId: process.pid,
    rootUri: pathToFileURL(folder).href,
    capabilities: { textDocument: { completion: { completionItem: { snippetSupport: true } } } },
    initializationOptions: { model: config, set: [], directory: "", hints: true, status: true },
  });
  assert.equal(hello.serverInfo.name, "tamis");
  assert.ok(hello.capabilities.inlayHintProvider && hello.capabilities.semanticTokensProvider.full);
  await connection.sendNotification("initialized", {});

  const uri = pathToFileURL(join(folder, "recipe.tamis")).href;
  const textDocument = { uri };
  const text = "model input\nprne heads of layers[*] keep 50%\nsave \"out\"\n";
  writeFileSync(join(folder, "recipe.tamis"), text);
  await connection.sendNotification("textDocument/didOpen", {
    textDocument: { uri, languageId: "tamis", version: 1, text },
  });
  const first = await until("diagnostics", (it) => it.version === 1);
  assert.deepEqual(first.diagnostics.map((it) => it.code), ["unknown-verb"]);
  const { range } = first.diagnostics[0];
  const [action] = await connection.sendRequest("textDocument/codeAction", {
    textDocument,
    range,
    context: { diagnostics: first.diagnostics },
  });
  const [edit] = action.edit.changes[uri];
  assert.equal(edit.newText, "prune");
  await connection.sendNotification("textDocument/didChange", {
    textDocument: { uri, version: 2 },
    contentChanges: [{ range: edit.range, text: edit.newText }],
  });
  const second = await until("diagnostics", (it) => it.version === 2);
  assert.deepEqual(second.diagnostics, []);
  const status = await until("status", (it) => it.errors === 0 && it.after && it.after.params < it.before.params);
  assert.equal(status.family, "bert");

  const hints = await connection.sendRequest("textDocument/inlayHint", {
    textDocument,
    range: { start: { line: 0, character: 0 }, end: { line: 9, character: 0 } },
  });
  assert.equal(hints.length, 2);
  const [lens] = await connection.sendRequest("textDocument/codeLens", { textDocument });
  assert.equal(lens.command.command, "tamis.showPlan");
  const plan = await connection.sendRequest("workspace/executeCommand", { command: "tamis.plan", arguments: [uri] });
  assert.match(plan, /prune/);
  const items = await connection.sendRequest("textDocument/completion", {
    textDocument,
    position: { line: 1, character: 16 },
  });
  assert.ok(items.items.some((item) => item.label === "layers" && item.detail.includes("4 layers")), JSON.stringify(items));

  await connection.sendRequest("shutdown");
  await connection.sendNotification("exit");
  const code = await new Promise((done) => server.on("exit", done));
  assert.equal(code, 0);
  connection.dispose();
});
