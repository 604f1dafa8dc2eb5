//! A scripted editor: messages to a server and back, and the text as the editor has it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Nothing takes that long; what does is a hang.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Client {
    server: Child,
    input: ChildStdin,
    output: Receiver<Value>,
    asked: i64,
}

impl Client {
    /// Starts a server in a directory.
    pub fn start(directory: &Path) -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_tamis"))
            .arg("lsp")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tamis starts");
        let input = server.stdin.take().expect("the input is piped");
        let mut lines = BufReader::new(server.stdout.take().expect("the output is piped"));
        let (messages, output) = channel();
        thread::spawn(move || {
            while let Some(message) = read(&mut lines) {
                if messages.send(message).is_err() {
                    return;
                }
            }
        });
        Self { server, input, output, asked: 0 }
    }

    /// Says hello, as editors do.
    pub fn initialize(&mut self, options: Value) -> Value {
        let capabilities =
            json!({ "textDocument": { "completion": { "completionItem": { "snippetSupport": true } } } });
        let params = json!({ "capabilities": capabilities, "initializationOptions": options });
        let answer = self.ask("initialize", params).expect("the server initializes");
        self.notify("initialized", json!({}));
        answer
    }

    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// Bytes as they are, whatever they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).and_then(|()| self.input.flush()).expect("the server reads");
    }

    pub fn message(&mut self, message: &Value) {
        let text = message.to_string();
        self.raw(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.message(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request, and gives its id.
    pub fn send(&mut self, method: &str, params: Value) -> i64 {
        self.asked += 1;
        self.message(&json!({ "jsonrpc": "2.0", "id": self.asked, "method": method, "params": params }));
        self.asked
    }

    pub fn next(&self) -> Value {
        self.output.recv_timeout(PATIENCE).expect("the server says something")
    }

    /// What was said already.
    pub fn said(&self) -> Vec<Value> {
        let mut said = Vec::new();
        loop {
            match self.output.recv_timeout(Duration::ZERO) {
                Ok(message) => said.push(message),
                Err(RecvTimeoutError::Timeout) => return said,
                Err(RecvTimeoutError::Disconnected) => panic!("the server died"),
            }
        }
    }

    pub fn answer(&self, id: i64) -> Result<Value, Value> {
        loop {
            let message = self.next();
            if message["id"] == id && message.get("method").is_none() {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
        }
    }

    pub fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send(method, params);
        self.answer(id)
    }

    pub fn open(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "tamis", "version": 0, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Diagnostics of a version, once they come.
    pub fn diagnostics(&self, uri: &str, version: i64) -> Value {
        loop {
            let message = self.next();
            let params = &message["params"];
            if message["method"] == "textDocument/publishDiagnostics"
                && params["uri"] == uri
                && params["version"] == version
            {
                return params["diagnostics"].clone();
            }
        }
    }

    /// Ends the session as the protocol has it.
    pub fn end(mut self) -> ExitStatus {
        assert_eq!(self.ask("shutdown", Value::Null), Ok(Value::Null));
        self.notify("exit", Value::Null);
        self.server.wait().expect("the server ends")
    }
}

/// The next message; `None` once there are no more.
fn read(lines: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().strip_prefix("Content-Length: ") {
            Some(number) => length = number.parse().expect("a length is a number"),
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("the server speaks JSON"))
}

/// A text as an editor has it, with lines and UTF-16 units.
#[derive(Clone)]
pub struct Text(pub Vec<u16>);

impl Text {
    pub fn of(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }

    /// The position of a unit.
    pub fn position(&self, at: usize) -> Value {
        let before = &self.0[..at];
        let line = before.iter().filter(|&&unit| unit == u16::from(b'\n')).count();
        let start = before.iter().rposition(|&unit| unit == u16::from(b'\n')).map_or(0, |at| at + 1);
        json!({ "line": line, "character": at - start })
    }

    /// Replaces units, and says so as the protocol does.
    pub fn edit(&mut self, start: usize, end: usize, new: &str) -> Value {
        let range = json!({ "start": self.position(start), "end": self.position(end) });
        self.0.splice(start..end, new.encode_utf16());
        json!({ "range": range, "text": new })
    }

    pub fn text(&self) -> String {
        String::from_utf16(&self.0).expect("pairs are not cut")
    }

    /// Whether a character begins there.
    pub fn is_boundary(&self, at: usize) -> bool {
        self.0.get(at).is_none_or(|unit| !(0xDC00..0xE000).contains(unit))
    }
}
