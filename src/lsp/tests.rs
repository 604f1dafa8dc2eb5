//! Conversations with the server, in memory.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lsp_server::{Connection, Message, Notification, Request, Response};
use serde_json::{Value, json};

use super::{Ending, serve};

/// Nothing takes that long; what does is a hang.
const PATIENCE: Duration = Duration::from_secs(60);
const URI: &str = "file:///nowhere/recipe.tamis";

struct Editor {
    connection: Connection,
    server: JoinHandle<Ending>,
    version: i32,
    asked: i32,
}

impl Editor {
    fn new() -> Self {
        let (here, there) = Connection::memory();
        let server = thread::spawn(move || serve(&there, &mut |_: &Path| ()));
        Self { connection: here, server, version: 0, asked: 0 }
    }

    fn start() -> Self {
        let mut editor = Self::new();
        let answer = editor.ask("initialize", json!({ "capabilities": {} }));
        assert_eq!(answer.unwrap()["serverInfo"]["name"], "tamis");
        editor.notify("initialized", json!({}));
        editor
    }

    fn notify(&self, method: &str, params: Value) {
        self.connection.sender.send(Notification::new(method.into(), params).into()).unwrap();
    }

    fn send(&mut self, method: &str, params: Value) -> i32 {
        self.asked += 1;
        self.connection.sender.send(Request::new(self.asked.into(), method.into(), params).into()).unwrap();
        self.asked
    }

    fn next(&self) -> Message {
        self.connection.receiver.recv_timeout(PATIENCE).expect("the server says something")
    }

    fn answer(&self, id: i32) -> Result<Value, i32> {
        loop {
            if let Message::Response(Response { id: told, response_result }) = self.next()
                && told == id.into()
            {
                return response_result.map_err(|error| error.code);
            }
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Result<Value, i32> {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// A text in place of all that was there.
    fn write(&mut self, text: &str) {
        self.version += 1;
        let document = json!({ "uri": URI, "version": self.version, "languageId": "tamis", "text": text });
        match self.version {
            1 => self.notify("textDocument/didOpen", json!({ "textDocument": document })),
            _ => self.notify(
                "textDocument/didChange",
                json!({ "textDocument": document, "contentChanges": [{ "text": text }] }),
            ),
        }
    }

    /// What is said of the recipe's newest version.
    fn diagnostics(&self) -> Value {
        self.diagnostics_of(URI, self.version)
    }

    /// What is said of a version of a text.
    fn diagnostics_of(&self, uri: &str, version: i32) -> Value {
        loop {
            if let Message::Notification(Notification { method, params }) = self.next()
                && method == "textDocument/publishDiagnostics"
                && params["uri"] == uri
                && params["version"] == version
            {
                return params["diagnostics"].clone();
            }
        }
    }

    fn end(mut self) -> Ending {
        assert_eq!(self.ask("shutdown", Value::Null), Ok(Value::Null));
        self.notify("exit", Value::Null);
        self.server.join().unwrap()
    }
}

fn model(name: &str) -> String {
    format!("{}/tests/suite/models/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

fn subject() -> Value {
    json!({ "uri": URI })
}

fn at(line: u32, character: u32) -> Value {
    json!({ "textDocument": subject(), "position": { "line": line, "character": character } })
}

#[test]
fn a_mistake_is_told_where_it_is_with_what_mends_it() {
    let mut editor = Editor::start();
    editor.write(&format!(
        "# 😀\nmodel input = \"{}\"\nprune heads of layers[*].atention keep 50%\nsave \"out\"\n",
        model("bert")
    ));
    let found = editor.diagnostics();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found[0]["code"], "selects-nothing");
    let range = json!({ "start": { "line": 2, "character": 25 }, "end": { "line": 2, "character": 33 } });
    assert_eq!(found[0]["range"], range);
    let params = json!({ "textDocument": subject(), "range": range, "context": { "diagnostics": [] } });
    let actions = editor.ask("textDocument/codeAction", params).unwrap();
    assert_eq!(actions[0]["title"], "change `atention` to `attention`");
    let edit = &actions[0]["edit"]["changes"][URI][0];
    assert_eq!((&edit["newText"], &edit["range"]), (&json!("attention"), &range));
    assert_eq!(actions[0]["diagnostics"][0], found[0]);
    assert_eq!(editor.end(), Ending::Orderly);
}

#[test]
fn everything_can_be_asked_of_a_recipe() {
    let mut editor = Editor::start();
    editor.write(&format!(
        "model input = \"{}\"\n# é😀\nlet share = 50%\nprune neurons of layers[*]\n  keep share\nsave   \"out\"\n",
        model("llama")
    ));
    assert_eq!(editor.diagnostics(), json!([]));
    let hover = editor.ask("textDocument/hover", at(3, 20)).unwrap();
    let text = hover["contents"]["value"].as_str().unwrap();
    assert!(text.contains("layers[0]"), "{text}");
    let defined = editor.ask("textDocument/definition", at(4, 8)).unwrap();
    assert_eq!(defined["range"]["start"], json!({ "line": 2, "character": 4 }));
    let whole = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
    let part = json!({ "textDocument": subject(), "range": whole });
    let hints = editor.ask("textDocument/inlayHint", part.clone()).unwrap();
    assert_eq!(hints.as_array().unwrap().len(), 2, "the model and the step: {hints}");
    assert!(hints[1]["label"].as_str().unwrap().contains("MACs (-"), "{hints}");
    let edits =
        editor.ask("textDocument/formatting", json!({ "textDocument": subject(), "options": {} })).unwrap();
    assert_eq!(edits[0]["newText"], "save \"out\"\n");
    let mut rename = at(2, 5);
    rename["newName"] = json!("kept");
    let renamed = editor.ask("textDocument/rename", rename.clone()).unwrap();
    assert_eq!(renamed["changes"][URI].as_array().unwrap().len(), 2);
    rename["newName"] = json!("keep");
    assert_eq!(editor.ask("textDocument/rename", rename), Err(-32803), "a word of the language is no name");
    for method in ["documentSymbol", "foldingRange", "semanticTokens/full", "codeLens"] {
        let answer =
            editor.ask(&format!("textDocument/{method}"), json!({ "textDocument": subject() })).unwrap();
        assert!(!answer.is_null() && answer != json!([]), "{method}: {answer}");
    }
    let params = json!({ "command": "tamis.plan", "arguments": [URI] });
    let plan = editor.ask("workspace/executeCommand", params).unwrap();
    assert!(plan.as_str().unwrap().contains("1 prune"), "{plan}");
    assert!(
        editor.ask("textDocument/signatureHelp", at(4, 7)).unwrap()["signatures"][0]["label"].is_string()
    );
    assert_eq!(editor.end(), Ending::Orderly);
}

#[test]
fn no_answer_is_about_an_old_version() {
    let mut editor = Editor::start();
    let mut refused = 0;
    for number in 0..200 {
        editor.write(&format!("model input = \"{}\"\nlet v{number} = 1\n", model("bert")));
        let id = editor.send("textDocument/documentSymbol", json!({ "textDocument": subject() }));
        if number % 3 == 0 {
            editor.write("let gone = 1\n");
        }
        match editor.answer(id) {
            Ok(symbols) => {
                let names: Vec<&Value> = symbols.as_array().unwrap().iter().map(|it| &it["name"]).collect();
                assert!(names.contains(&&json!(format!("v{number}"))), "{number}: {names:?}");
            }
            Err(code) => {
                assert_eq!(code, -32801, "content modified");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "what was asked before a change is outdated by it");
    assert_eq!(editor.end(), Ending::Orderly);
}

#[test]
fn the_order_of_the_protocol_is_kept() {
    let mut editor = Editor::new();
    assert_eq!(editor.ask("textDocument/hover", at(0, 0)), Err(-32002), "not initialized");
    editor.ask("initialize", json!({})).unwrap();
    assert_eq!(editor.ask("initialize", json!({})), Err(-32600));
    assert_eq!(editor.ask("textDocument/none", json!({})), Err(-32601));
    assert_eq!(editor.ask("textDocument/hover", at(0, 0)), Err(-32602), "not open");
    editor.notify("textDocument/didOpen", json!({ "textDocument": 3 }));
    editor.write("let a = 1");
    assert_eq!(
        editor.ask("textDocument/hover", json!({ "textDocument": subject(), "position": 7 })),
        Err(-32602)
    );
    assert_eq!(editor.ask("shutdown", Value::Null), Ok(Value::Null));
    assert_eq!(editor.ask("textDocument/hover", at(0, 0)), Err(-32600));
    drop(editor.connection);
    assert_eq!(editor.server.join().unwrap(), Ending::Abandoned);
}

#[test]
fn the_model_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    let mut editor = Editor::start();
    editor.write(&format!("model input = \"{}\"\ndrop layers[3]\nsave \"out\"\n", config.display()));
    assert_eq!(editor.diagnostics()[0]["code"], "model-missing");
    std::fs::copy(model("bert"), &config).unwrap();
    assert_eq!(editor.diagnostics(), json!([]), "the model appeared");
    let few = std::fs::read_to_string(&config).unwrap().replace("layers\": 4", "layers\": 2");
    std::fs::write(&config, few).unwrap();
    let found = editor.diagnostics();
    assert_eq!(found[0]["code"], "index-out-of-range", "the model has fewer layers now");
    let related = &found[0]["relatedInformation"][0];
    assert!(related["location"]["uri"].as_str().unwrap().ends_with("config.json"), "{found}");
    std::fs::remove_file(&config).unwrap();
    assert_eq!(editor.diagnostics()[0]["code"], "model-missing");
    assert_eq!(editor.end(), Ending::Orderly);
}

#[test]
fn a_used_text_is_taken_as_it_is_open() {
    let mut editor = Editor::start();
    let used = "file:///nowhere/common.tamis";
    let open = |text: &str| json!({ "textDocument": { "uri": used, "version": 1, "languageId": "tamis", "text": text } });
    editor.notify("textDocument/didOpen", open("let share = 50%\n"));
    assert_eq!(editor.diagnostics_of(used, 1), json!([]), "definitions for others need no model");
    editor.write(&format!(
        "use \"common.tamis\"\nmodel input = \"{}\"\nprune neurons keep share\nsave \"out\"\n",
        model("bert")
    ));
    assert_eq!(editor.diagnostics(), json!([]));
    let defined = editor.ask("textDocument/definition", at(2, 21));
    assert!(defined.is_ok());
    editor.notify("textDocument/didClose", json!({ "textDocument": { "uri": used } }));
    assert_eq!(editor.diagnostics()[0]["code"], "use-missing");
    editor.notify("textDocument/didOpen", open("let share = 60\n"));
    editor.notify("textDocument/didOpen", open("let share = 50%\n"));
    // The first of both may be told of, too.
    while editor.diagnostics() != json!([]) {}
    assert_eq!(editor.end(), Ending::Orderly);
}
