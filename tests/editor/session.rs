//! One session with an editor: what it says wrong is answered, what it deletes is missed, and it ends in order.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::Client;

fn copied(dir: &Path) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/bert-eras");
    std::fs::create_dir(dir.join("model")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(model.join(file), dir.join("model").join(file)).unwrap();
    }
}

#[test]
fn messages_of_no_form_are_answered_and_end_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::start(dir.path());
    client.raw(b"Content-Length: 12\r\n\r\n{not json at");
    assert_eq!(client.next()["error"]["code"], -32700);
    client.raw(b"garbage\r\nContent-Length: x\r\n\r\n\r\n");
    client.raw(b"Content-Length: 2\r\n\r\n[]");
    assert_eq!(client.next()["error"]["code"], -32600);
    client.initialize(Value::Null);
    client.message(&json!({ "jsonrpc": "2.0", "id": "x", "method": 7 }));
    client.message(
        &json!({ "jsonrpc": "2.0", "method": "textDocument/didChange", "params": { "textDocument": [] } }),
    );
    client.message(&json!({ "jsonrpc": "2.0", "id": 90, "method": "textDocument/hover", "params": "no" }));
    assert_eq!(client.answer(90).unwrap_err()["code"], -32602);
    client.message(&json!({ "jsonrpc": "2.0", "id": 91, "result": null }));
    client.raw("Content-Length: 5\r\n\r\n\u{e9}\u{e9}\u{e9}".as_bytes());
    let uri = "untitled:1";
    client.open(uri, "model input\n");
    assert_eq!(client.diagnostics(uri, 0)[0]["code"], "model-unset");
    assert_eq!(client.end().code(), Some(0));
}

#[test]
fn a_model_that_is_deleted_is_missed_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    copied(dir.path());
    let mut client = Client::start(dir.path());
    client.initialize(Value::Null);
    let uri = format!("file://{}/a%20b.tamis", dir.path().display());
    let text = "model input = \"model\"\nprune heads of layers[*] keep 50%\nsave \"out\"\n";
    client.open(&uri, text);
    assert_eq!(client.diagnostics(&uri, 0), json!([]), "paths begin where the server was started");
    std::fs::rename(dir.path().join("model"), dir.path().join("gone")).unwrap();
    assert_eq!(client.diagnostics(&uri, 0)[0]["code"], "model-missing");
    std::fs::rename(dir.path().join("gone"), dir.path().join("model")).unwrap();
    assert_eq!(client.diagnostics(&uri, 0), json!([]));
    std::fs::write(dir.path().join("model/model.safetensors"), b"short").unwrap();
    assert_eq!(client.diagnostics(&uri, 0)[0]["source"], "tamis");
    let hover = json!({ "textDocument": { "uri": uri }, "position": { "line": 1, "character": 2 } });
    let page = client.ask("textDocument/hover", hover).unwrap();
    assert!(
        page["contents"]["value"].as_str().unwrap().contains("Takes heads"),
        "no model is needed for a page"
    );
    assert_eq!(client.end().code(), Some(0));
}

#[test]
fn what_can_stand_in_a_text_is_what_lies_there() {
    let dir = tempfile::tempdir().unwrap();
    copied(dir.path());
    std::fs::write(dir.path().join("calib.jsonl"), "{\"sentence\": \"x\", \"label\": 1}\n").unwrap();
    let mut client = Client::start(dir.path());
    client.initialize(Value::Null);
    let uri = format!("file://{}/recipe.tamis", dir.path().display());
    let labels = |client: &mut Client, uri: &str, line: u32, character: u32| -> Vec<String> {
        let params =
            json!({ "textDocument": { "uri": uri }, "position": { "line": line, "character": character } });
        let answer = client.ask("textDocument/completion", params).unwrap();
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
    };
    client.open(
        &uri,
        "model input = \"\ndata calib = text(\"calib.jsonl\", field: \"\nprune heads of layers[*].\n",
    );
    assert_eq!(labels(&mut client, &uri, 0, 15), ["model"]);
    assert_eq!(labels(&mut client, &uri, 1, 41), ["sentence", "label"]);
    assert_eq!(labels(&mut client, &uri, 2, 25), [""; 0], "without a model there are no names");
    client.notify(
        "textDocument/didChange",
        json!({
            "textDocument": { "uri": uri, "version": 1 },
            "contentChanges": [{
                "range": { "start": { "line": 0, "character": 15 }, "end": { "line": 0, "character": 15 } },
                "text": "model\""
            }],
        }),
    );
    let children = labels(&mut client, &uri, 2, 25);
    assert!(
        children.contains(&"attention".to_owned()) && children.contains(&"mlp".to_owned()),
        "{children:?}"
    );
    assert_eq!(client.end().code(), Some(0));
}
