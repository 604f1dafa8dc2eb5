//! Ten thousand edits of every kind, with questions in between: the server lives, and never speaks of an old version.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Client, Text};

const EDITS: i64 = 10_000;

/// What is typed, pasted and half-typed.
const PIECES: [&str; 40] = [
    "prune ",
    "heads",
    "neurons",
    " of ",
    "layers[*]",
    ".mlp",
    ".",
    "\n",
    "\n  ",
    "by ",
    "wanda(",
    "magnitude",
    ")",
    "to 60% flops",
    "2:4",
    "keep 8",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "(",
    "😀",
    "é",
    "#",
    "## ",
    "sweep r in [1, 2] {\n",
    "let x = ",
    "param b: ratio = 50%\n",
    "x",
    " ",
    "\t",
    "\r\n",
    "save \"out\"",
    "model input = ",
    "with { ",
    ",",
    "use \"gone.tamis\"\n",
    "data d = text(\"none.txt\")\n",
    "\u{0}",
];

const METHODS: [&str; 10] = [
    "completion",
    "hover",
    "signatureHelp",
    "definition",
    "references",
    "documentHighlight",
    "documentSymbol",
    "foldingRange",
    "semanticTokens/full",
    "codeLens",
];

/// The i-th number of the SplitMix64 generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % bound as u64) as usize
    }
}

struct Session {
    client: Client,
    uri: String,
    text: Text,
    version: i64,
    random: Random,
    /// The version that each open question is about.
    open: BTreeMap<i64, i64>,
    answered: usize,
    outdated: usize,
    published: i64,
}

impl Session {
    fn edit(&mut self) {
        let length = self.text.0.len();
        let start = self.boundary(length + 1);
        // A text that only grows would be one big mistake in the end.
        let cut = if length > 3000 { 400 } else { 12 };
        let width = self.random.below(cut);
        let end = if self.random.below(3) == 0 { self.snapped((start + width).min(length)) } else { start };
        let piece = if self.random.below(4) == 0 { "" } else { PIECES[self.random.below(PIECES.len())] };
        let change = self.text.edit(start, end, piece);
        self.version += 1;
        self.client.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": self.uri, "version": self.version }, "contentChanges": [change] }),
        );
    }

    fn boundary(&mut self, below: usize) -> usize {
        let at = self.random.below(below);
        self.snapped(at)
    }

    fn snapped(&self, mut at: usize) -> usize {
        while !self.text.is_boundary(at) {
            at -= 1;
        }
        at
    }

    fn question(&mut self) {
        let place = self.boundary(self.text.0.len() + 1);
        let method = format!("textDocument/{}", METHODS[self.random.below(METHODS.len())]);
        let params = json!({
            "textDocument": { "uri": self.uri },
            "position": self.text.position(place),
            "context": { "includeDeclaration": true, "triggerKind": 1, "isRetrigger": false, "diagnostics": [] },
        });
        let id = self.client.send(&method, params);
        self.open.insert(id, self.version);
    }

    fn listen(&mut self) {
        for message in self.client.said() {
            self.heard(&message);
        }
    }

    fn heard(&mut self, message: &Value) {
        if message["method"] == "textDocument/publishDiagnostics" {
            let version = message["params"]["version"].as_i64().unwrap();
            assert!(version >= self.published, "versions are told in their order");
            self.published = version;
        } else if let Some(id) = message["id"].as_i64() {
            self.open.remove(&id).expect("each question has one answer");
            match message["error"]["code"].as_i64() {
                None => self.answered += 1,
                Some(-32801) => self.outdated += 1,
                Some(_) => panic!("{message}"),
            }
        }
    }
}

#[test]
fn ten_thousand_edits_are_survived() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/bert-eras");
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::start(dir.path());
    client.initialize(Value::Null);
    let uri = format!("file://{}/recipe.tamis", dir.path().display());
    let begin = format!(
        "## é😀\nmodel input = \"{}\"\nparam r: ratio = 50%\nprune heads, neurons of layers[*]\n  by magnitude\n  keep r\n\
         sparsify weights of layers[*].mlp by magnitude to 2:4\nsave \"out/{{r}}\"\n",
        model.display()
    );
    client.open(&uri, &begin);
    let text = Text::of(&begin);
    let mut session = Session {
        client,
        uri,
        text,
        version: 0,
        random: Random(7),
        open: BTreeMap::new(),
        answered: 0,
        outdated: 0,
        published: -1,
    };
    for number in 0..EDITS {
        session.edit();
        if session.random.below(4) == 0 {
            session.question();
        }
        // Now and then the typist rests, and some texts are checked to their end.
        if number % 16 == 0 {
            session.question();
            while !session.open.is_empty() {
                let message = session.client.next();
                session.heard(&message);
            }
        }
        if number % 1000 == 999 {
            // All begins anew, so that some of the texts are nearly right.
            session.text = Text::of(&begin);
            session.version += 1;
            session.client.notify(
                "textDocument/didChange",
                json!({
                    "textDocument": { "uri": session.uri, "version": session.version },
                    "contentChanges": [{ "text": begin }],
                }),
            );
        }
        session.listen();
    }
    session.edit();
    let (version, text, uri) = (session.version, session.text.text(), session.uri.clone());
    let last = session.client.diagnostics(&uri, version);
    // The same text, opened anew, is told the same: no edit was misplaced on the way.
    let other = uri.replace("recipe", "anew");
    session.client.open(&other, &text);
    let anew = session.client.diagnostics(&other, 0);
    assert_eq!(last.to_string(), anew.to_string().replace("anew.tamis", "recipe.tamis"));
    assert!(session.answered > 500 && session.outdated > 100, "{} {}", session.answered, session.outdated);
    assert_eq!(session.client.end().code(), Some(0));
}
