"""Validates `tamis check --format sarif` against the schema of SARIF 2.1.0.

    tamis check tests/golden/*.tamis --format sarif > log.sarif
    python sarif.py sarif-schema-2.1.0.json log.sarif

The schema is the one that OASIS publishes beside the standard (`sarif-schema-2.1.0.json`); `jsonschema` reads it. CI has neither:
`tests/cli/editor.rs` holds a log to what the schema asks of the parts that tamis writes. The tests of the VS Code extension hold
one to the schema as this does, with node (`editors/vscode/test/sarif.test.mjs`).
"""

import json
import sys

import jsonschema

schema, *logs = sys.argv[1:]
with open(schema, encoding="utf-8") as file:
    schema = json.load(file)
validator = jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())
faults = 0
for path in logs:
    with open(path, encoding="utf-8") as file:
        log = json.load(file)
    found = list(validator.iter_errors(log))
    results = sum(len(run["results"]) for run in log["runs"])
    print(f"{path}: {results} results, {len(found)} faults")
    for fault in found:
        print("  ", "/".join(map(str, fault.absolute_path)), fault.message[:200])
    faults += len(found)
sys.exit(faults > 0)
