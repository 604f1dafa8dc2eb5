//! Messages over standard input and output. What is no message is answered and skipped: it ends nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use lsp_server::{Connection, ErrorCode, Message};
use serde_json::{Value, json};

/// No message is longer; a length beyond it is taken for a damaged header.
const LONGEST: usize = 256 << 20;

/// The thread that writes; it ends once nobody sends any more.
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until all is written.
    pub fn finish(self) {
        // A writer that panicked has nothing left to say.
        let _ = self.0.join();
    }
}

/// A connection over the standard streams.
pub fn stdio() -> (Connection, Writer) {
    let (to_client, outgoing) = unbounded::<Message>();
    let (incoming, from_client) = unbounded::<Message>();
    let (refusals, refused) = unbounded::<Value>();
    let writer = thread::spawn(move || write_all(&outgoing, &refused));
    thread::spawn(move || read_all(&mut BufReader::new(io::stdin()), &incoming, &refusals));
    (Connection { sender: to_client, receiver: from_client }, Writer(writer))
}

/// Reads messages until the input ends.
fn read_all(input: &mut impl BufRead, messages: &Sender<Message>, refusals: &Sender<Value>) {
    while let Ok(Some(body)) = next_body(input) {
        match serde_json::from_slice::<Message>(&body) {
            Ok(message) => {
                if messages.send(message).is_err() {
                    return;
                }
            }
            Err(error) => {
                let _ = refusals.send(refusal(&body, &error.to_string()));
            }
        }
    }
}

/// The body of the next message; headers that cannot be read are skipped line by line. `None` at the end.
fn next_body(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if input.take(64 << 10).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if line.is_empty() {
            let Some(length) = length.take() else { continue };
            let mut body = vec![0; length];
            input.read_exact(&mut body)?;
            return Ok(Some(body));
        }
        // A header may stand behind what is left of a body that was longer than its header said.
        let header = line.to_ascii_lowercase();
        if let Some(at) = header.rfind("content-length:") {
            let number = header[at + "content-length:".len()..].trim().parse().ok();
            length = number.filter(|&number: &usize| number <= LONGEST);
        }
    }
}

/// The answer to a body that is no message: to its id, where it has one.
fn refusal(body: &[u8], why: &str) -> Value {
    let (code, id) = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            (ErrorCode::InvalidRequest, value.get("id").filter(|id| id.is_string() || id.is_i64()).cloned())
        }
        Err(_) => (ErrorCode::ParseError, None),
    };
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code as i32, "message": why } })
}

fn write_all(messages: &Receiver<Message>, refusals: &Receiver<Value>) {
    let mut refusals = refusals.clone();
    loop {
        let written = crossbeam_channel::select! {
            recv(messages) -> message => match message {
                Ok(message) => message.write(&mut io::stdout().lock()),
                Err(_) => return,
            },
            recv(refusals) -> refused => match refused {
                Ok(refused) => write_value(&refused),
                Err(_) => {
                    refusals = crossbeam_channel::never();
                    Ok(())
                }
            },
        };
        if written.is_err() {
            return;
        }
    }
}

fn write_value(value: &Value) -> io::Result<()> {
    let text = value.to_string();
    let mut out = io::stdout().lock();
    write!(out, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> (Vec<String>, Vec<Value>) {
        let ((messages, received), (refusals, refused)) = (unbounded(), unbounded());
        read_all(&mut input.as_bytes(), &messages, &refusals);
        let method = |message: Message| match message {
            Message::Request(request) => request.method,
            Message::Notification(notification) => notification.method,
            Message::Response(_) => "response".into(),
        };
        (received.try_iter().map(method).collect(), refused.try_iter().collect())
    }

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn what_is_no_message_is_answered_and_skipped() {
        let good = framed(r#"{"jsonrpc":"2.0","method":"initialized"}"#);
        let input = [
            framed("{nonsense"),
            good.clone(),
            framed(r#"{"jsonrpc":"2.0","id":7}"#),
            "garbage\r\n\r\n\r\nContent-Length: many\r\n\r\n".into(),
            good.clone(),
            "Content-Length: 99999999999999\r\nContent-Type: x\r\n\r\n".into(),
            good.replace("Content-Length", "content-length"),
        ];
        let (methods, refused) = read(&input.concat());
        assert_eq!(methods, ["initialized"; 3]);
        let codes: Vec<_> =
            refused.iter().map(|it| (it["id"].clone(), it["error"]["code"].clone())).collect();
        assert_eq!(codes, [(Value::Null, json!(-32700)), (json!(7), json!(-32600))]);
    }

    #[test]
    fn an_input_that_ends_within_a_message_ends() {
        assert_eq!(read("Content-Length: 100\r\n\r\n{}").0, [""; 0]);
    }
}
