// What `tamis check --format sarif` prints, held to the schema of SARIF 2.1.0.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

const require = createRequire(import.meta.url);
const Ajv = require("ajv");
// The schema alone is taken from this package: OASIS publishes it, and no smaller package carries it.
const schema = require("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
const root = new URL("../../..", import.meta.url).pathname;
const config = join(root, "tests/suite/models/bert.json");

// One mistake with a fix, one with a second place, one in the config, one that no recipe has.
const recipes = {
  "fix.tamis": `model input = "${config}"\nprne heads of layers[*] keep 50%\nsave "out"\n`,
  "places.tamis": `model input = "${config}"\ndrop layers[2..]\ndrop layers[9]\nsave "out"\nsave "out"\n`,
  "config.tamis": `model input = "${config}"\ndrop layers[12]\nsave "out"\n`,
  "unicode.tamis": `model input = "${config}"\nexpect flops ≤ 50% of input\nsave “out”\n`,
  "fine.tamis": `model input = "${config}"\ndrop layers[0]\nsave "out"\n`,
};

test("a SARIF log is what the standard says", () => {
  const folder = mkdtempSync(join(tmpdir(), "tamis-"));
  for (const [name, text] of Object.entries(recipes)) {
    writeFileSync(join(folder, name), text);
  }
  const names = [...Object.keys(recipes), "missing.tamis"];
  const ran = spawnSync(process.env.TAMIS ?? "tamis", ["check", ...names, "--format", "sarif"], {
    cwd: folder,
    encoding: "utf8",
  });
  const log = JSON.parse(ran.stdout);
  // Formats such as `uri-reference` are checked with the rest.
  const ajv = new Ajv({ schemaId: "auto", meta: false, allErrors: true });
  ajv.addMetaSchema(require("ajv/lib/refs/json-schema-draft-04.json"));
  const holds = ajv.compile(schema);
  assert.ok(holds(log), ajv.errorsText(holds.errors));
  const found = log.runs[0].results.map((result) => result.ruleId);
  for (const code of ["unknown-verb", "index-out-of-range", "duplicate-save", "bad-character", "recipe-unreadable"]) {
    assert.ok(found.includes(code), `${code} is among ${found}`);
  }
  // The schema says no to what is not a log.
  log.runs[0].results[0].locations[0].physicalLocation.region.startLine = 0;
  assert.ok(!holds(log));
});
