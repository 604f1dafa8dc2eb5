//! The loop that reads messages and answers them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use gen_lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    PublishDiagnosticsParams, Uri,
};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{self, Client, Refusal};
use super::convert::Text;
use super::document::Document;
use super::settings::Options;
use super::worker::{self, Checked, Event, Job};
use super::world::OpenTexts;
use super::{capability, publish, uri};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As the protocol has it: `shutdown`, then `exit`.
    Orderly,
    /// The editor went away.
    Abandoned,
}

/// Serves one editor until it goes away. `settle` is called once, with the directory that paths begin at.
pub fn serve(connection: &Connection, settle: &mut dyn FnMut(&std::path::Path)) -> Ending {
    let open = OpenTexts::default();
    let (jobs, events) = worker::start(Arc::clone(&open));
    let mut server = Server {
        connection,
        jobs,
        open,
        settle,
        phase: Phase::New,
        documents: BTreeMap::new(),
        options: Options::default(),
        client: Client::default(),
        refreshes: Vec::new(),
        tickets: 0,
        asked: 0,
    };
    server.run(&events)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Shutdown,
}

struct Server<'a> {
    connection: &'a Connection,
    jobs: Sender<Job>,
    open: OpenTexts,
    settle: &'a mut dyn FnMut(&std::path::Path),
    phase: Phase,
    documents: BTreeMap<String, Document>,
    options: Options,
    client: Client,
    /// Methods that ask the editor to ask again, of those that it knows.
    refreshes: Vec<&'static str>,
    /// How many checks were asked for.
    tickets: u64,
    /// How many requests were sent to the editor.
    asked: i32,
}

impl Server<'_> {
    fn run(&mut self, events: &Receiver<Event>) -> Ending {
        loop {
            crossbeam_channel::select! {
                recv(self.connection.receiver) -> message => match message {
                    Ok(Message::Request(request)) => self.request(request),
                    Ok(Message::Notification(notification)) => {
                        if notification.method == "exit" {
                            return if self.phase == Phase::Shutdown { Ending::Orderly } else { Ending::Abandoned };
                        }
                        self.notification(notification);
                    }
                    Ok(Message::Response(_)) => {}
                    Err(_) => return Ending::Abandoned,
                },
                recv(events) -> event => match event {
                    Ok(Event::Checked(checked)) => self.checked(&checked),
                    Ok(Event::FilesChanged(texts)) => self.files_changed(&texts),
                    Err(_) => return Ending::Abandoned,
                },
            }
        }
    }

    // -- requests

    fn request(&mut self, request: Request) {
        let Request { id, method, .. } = &request;
        match (self.phase, method.as_str()) {
            (Phase::New, "initialize") => self.initialize(request),
            (Phase::New, _) => {
                self.refuse(id, &Refusal::new(ErrorCode::ServerNotInitialized, "not initialized yet"));
            }
            (_, "initialize") => {
                self.refuse(id, &Refusal::new(ErrorCode::InvalidRequest, "initialized already"));
            }
            (Phase::Shutdown, _) => {
                self.refuse(id, &Refusal::new(ErrorCode::InvalidRequest, "shut down already"));
            }
            (Phase::Running, "shutdown") => {
                self.phase = Phase::Shutdown;
                self.send(Response::new_ok(id.clone(), Value::Null));
            }
            (Phase::Running, _) => self.ask(request),
        }
    }

    fn initialize(&mut self, request: Request) {
        let params = &request.params;
        let can = |pointer: &str| params.pointer(pointer).and_then(Value::as_bool).unwrap_or(false);
        self.client.snippets = can("/capabilities/textDocument/completion/completionItem/snippetSupport");
        let refreshes = [
            ("/capabilities/workspace/inlayHint/refreshSupport", "workspace/inlayHint/refresh"),
            ("/capabilities/workspace/codeLens/refreshSupport", "workspace/codeLens/refresh"),
        ];
        self.refreshes =
            refreshes.into_iter().filter(|(known, _)| can(known)).map(|(_, method)| method).collect();
        self.configure(params.get("initializationOptions").unwrap_or(&Value::Null));
        let folder = params.pointer("/workspaceFolders/0/uri").or_else(|| params.get("rootUri"));
        let folder = folder.and_then(Value::as_str).and_then(|folder| uri::path(&Uri(folder.into())));
        let directory = self.options.directory.clone().unwrap_or_default();
        if let Some(folder) = folder {
            (self.settle)(&folder.join(directory));
        }
        self.phase = Phase::Running;
        let answer = serde_json::to_value(capability::initialized()).expect("capabilities are plain data");
        self.send(Response::new_ok(request.id, answer));
    }

    fn configure(&mut self, options: &Value) {
        self.options = Options::read(options);
        self.client.hides_hints = self.options.hints == Some(false);
    }

    /// Answers a request about a text, now or once the text is checked.
    fn ask(&mut self, request: Request) {
        if !answer::is_known(&request.method) {
            let message = format!("there is no method `{}`", request.method);
            return self.refuse(&request.id, &Refusal::new(ErrorCode::MethodNotFound, message));
        }
        let document = answer::subject(&request).and_then(|subject| self.documents.get_mut(subject));
        match document {
            None => {
                let refusal =
                    Refusal::new(ErrorCode::InvalidParams, "the text that this is about is not open");
                self.refuse(&request.id, &refusal);
            }
            Some(document) if document.checked.is_none() => document.waiting.push(request),
            Some(document) => {
                let response = answered(request, document, self.client);
                self.send(response);
            }
        }
    }

    // -- notifications

    fn notification(&mut self, notification: Notification) {
        if self.phase != Phase::Running {
            return;
        }
        let Notification { method, params } = notification;
        match method.as_str() {
            "initialized" => self.watch_files(),
            "textDocument/didOpen" => self.with(params, Self::did_open),
            "textDocument/didChange" => self.with(params, Self::did_change),
            "textDocument/didClose" => self.with(params, Self::did_close),
            "workspace/didChangeConfiguration" => {
                self.configure(params.get("settings").unwrap_or(&Value::Null));
                self.check_all();
            }
            "workspace/didChangeWatchedFiles" => self.check_all(),
            "$/cancelRequest" => self.cancel(params.get("id")),
            _ => {}
        }
    }

    /// Does something with parameters of the right form; others are ignored, as a notification has no answer.
    fn with<P: DeserializeOwned>(&mut self, params: Value, does: fn(&mut Self, P)) {
        if let Ok(params) = serde_json::from_value(params) {
            does(self, params);
        }
    }

    fn did_open(&mut self, params: DidOpenTextDocumentParams) {
        let item = params.text_document;
        let key = item.uri.as_ref().to_owned();
        self.outdate(&key);
        self.documents.insert(key.clone(), Document::new(item.uri, item.version, item.text));
        self.changed(&key);
    }

    fn did_change(&mut self, params: DidChangeTextDocumentParams) {
        let key = params.text_document.text_document_identifier.uri.as_ref().to_owned();
        self.outdate(&key);
        if let Some(document) = self.documents.get_mut(&key) {
            document.change(params.text_document.version, params.content_changes);
            self.changed(&key);
        }
    }

    fn did_close(&mut self, params: DidCloseTextDocumentParams) {
        let key = params.text_document.uri.as_ref().to_owned();
        self.outdate(&key);
        let Some(document) = self.documents.remove(&key) else { return };
        document.ticket.store(u64::MAX, std::sync::atomic::Ordering::Release);
        self.share(&document.uri, None);
        self.check_users(&document.uri);
        self.notify(
            "textDocument/publishDiagnostics",
            &PublishDiagnosticsParams { uri: document.uri, version: None, diagnostics: Vec::new() },
        );
    }

    fn cancel(&mut self, id: Option<&Value>) {
        let Some(id) = id.and_then(|id| serde_json::from_value::<RequestId>(id.clone()).ok()) else { return };
        for document in self.documents.values_mut() {
            if let Some(at) = document.waiting.iter().position(|request| request.id == id) {
                document.waiting.remove(at);
                let refusal = Refusal::new(ErrorCode::RequestCanceled, "cancelled");
                return self.refuse(&id, &refusal);
            }
        }
    }

    /// Asks the editor to tell when files change; the worker looks by itself too, as not every editor can.
    fn watch_files(&mut self) {
        let watchers = ["**/config.json", "**/*.safetensors", "**/*.safetensors.index.json", "**/*.tamis"];
        let watchers: Vec<Value> = watchers.iter().map(|glob| json!({ "globPattern": glob })).collect();
        let method = "workspace/didChangeWatchedFiles";
        let registration =
            json!({ "id": "files", "method": method, "registerOptions": { "watchers": watchers } });
        self.request_of_client("client/registerCapability", json!({ "registrations": [registration] }));
    }

    // -- texts and their checks

    /// Refuses requests that wait for the check of a text that is there no more.
    fn outdate(&mut self, key: &str) {
        let Some(document) = self.documents.get_mut(key) else { return };
        let refusal = Refusal::new(ErrorCode::ContentModified, "the text changed");
        for request in std::mem::take(&mut document.waiting) {
            self.refuse(&request.id, &refusal);
        }
    }

    /// A text is new: it is checked, and with it those that use it.
    fn changed(&mut self, key: &str) {
        let Some(document) = self.documents.get(key) else { return };
        let (uri, text) = (document.uri.clone(), Arc::clone(&document.text));
        self.share(&uri, Some(text));
        self.check(key);
        self.check_users(&uri);
    }

    fn share(&self, uri: &Uri, text: Option<Arc<str>>) {
        let (Some(path), Ok(mut open)) = (uri::path(uri), self.open.write()) else { return };
        match text {
            Some(text) => drop(open.insert(path, text)),
            None => drop(open.remove(&path)),
        }
    }

    fn check(&mut self, key: &str) {
        let Some(document) = self.documents.get_mut(key) else { return };
        self.tickets += 1;
        document.expect(self.tickets);
        let path = uri::path(&document.uri);
        let name =
            path.map_or_else(|| document.uri.as_ref().to_owned(), |path: PathBuf| path.display().to_string());
        let job = Job {
            uri: document.uri.clone(),
            name,
            text: Arc::clone(&document.text),
            ticket: self.tickets,
            newest: Arc::clone(&document.ticket),
            options: self.options.clone(),
        };
        let _ = self.jobs.send(job);
    }

    fn check_all(&mut self) {
        let keys: Vec<String> = self.documents.keys().cloned().collect();
        keys.iter().for_each(|key| self.check(key));
    }

    /// Checks the other texts that use this one.
    fn check_users(&mut self, used: &Uri) {
        let Some(path) = uri::path(used) else { return };
        // A text that was looked for and not found counts too: now it may be there.
        let uses = |document: &Document| {
            let checked = document.checked.as_ref();
            document.uri != *used && checked.is_none_or(|checked| checked.asked.contains(&path))
        };
        let users = self.documents.iter().filter(|(_, document)| uses(document));
        let users: Vec<String> = users.map(|(key, _)| key.clone()).collect();
        users.iter().for_each(|key| self.check(key));
    }

    fn files_changed(&mut self, texts: &[Uri]) {
        texts.iter().for_each(|text| self.check(text.as_ref()));
        for method in self.refreshes.clone() {
            self.request_of_client(method, Value::Null);
        }
    }

    fn checked(&mut self, checked: &Arc<Checked>) {
        let document = self.documents.get_mut(checked.uri.as_ref());
        let Some(document) = document.filter(|document| document.expects(checked.ticket)) else { return };
        document.checked = Some(Arc::clone(checked));
        let waiting = std::mem::take(&mut document.waiting);
        let document = &*document;
        let text = Text { text: &document.text, lines: &document.lines };
        let diagnostics = checked.analysis.as_ref().map(|it| publish::diagnostics(it, text, &document.uri));
        let published = PublishDiagnosticsParams {
            uri: document.uri.clone(),
            version: Some(document.version),
            diagnostics: diagnostics.unwrap_or_default(),
        };
        let answers: Vec<Response> =
            waiting.into_iter().map(|request| answered(request, document, self.client)).collect();
        let status = self.options.status.then(|| status(document, checked));
        self.notify("textDocument/publishDiagnostics", &published);
        answers.into_iter().for_each(|answer| self.send(answer));
        if let Some(status) = status {
            self.notify("tamis/status", &status);
        }
    }

    // -- sending

    fn send(&self, message: impl Into<Message>) {
        // An editor that went away ends the loop by itself.
        let _ = self.connection.sender.send(message.into());
    }

    fn refuse(&self, id: &RequestId, refusal: &Refusal) {
        self.send(Response::new_err(id.clone(), refusal.code as i32, refusal.message.clone()));
    }

    fn notify(&self, method: &str, params: &impl serde::Serialize) {
        self.send(Notification::new(method.to_owned(), params));
    }

    fn request_of_client(&mut self, method: &str, params: Value) {
        self.asked += 1;
        self.send(Request::new(format!("tamis-{}", self.asked).into(), method.to_owned(), params));
    }
}

/// The answer to a request about a text that is checked. A panic is a mistake of ours, and of this answer only.
fn answered(request: Request, document: &Document, client: Client) -> Response {
    let id = request.id.clone();
    let analysis = document.checked.as_ref().and_then(|checked| checked.analysis.as_ref());
    let Some(analysis) = analysis else {
        return Response::new_err(
            id,
            ErrorCode::InternalError as i32,
            "this text could not be checked".into(),
        );
    };
    let answer = catch_unwind(AssertUnwindSafe(|| answer::answer(request, document, analysis, client)));
    match answer {
        Ok(Ok(value)) => Response::new_ok(id, value),
        Ok(Err(refusal)) => Response::new_err(id, refusal.code as i32, refusal.message),
        Err(_) => {
            Response::new_err(id, ErrorCode::InternalError as i32, "this answer is a mistake of tamis".into())
        }
    }
}

/// For a line at the editor's edge: the model, and what it costs before and after.
fn status(document: &Document, checked: &Checked) -> Value {
    let examined = checked.analysis.as_ref().map(|analysis| &analysis.examined);
    let model = examined.and_then(|examined| examined.model.as_ref());
    let after = examined.and_then(|it| it.seen.iter().rev().find_map(|seen| seen.after.as_ref()));
    let all = |params: u64, macs: u64, bytes: u64| json!({ "params": params, "macs": macs, "bytes": bytes });
    let cost = |cost: &tamis::graph::Cost| all(cost.params.max, cost.macs.max, cost.bytes.max);
    let least = |cost: &tamis::graph::Cost| all(cost.params.min, cost.macs.min, cost.bytes.min);
    let at_end = after.map(|(_, after)| after).or_else(|| model.map(|model| &model.cost));
    json!({
        "uri": document.uri,
        "model": model.map(|model| model.path.display().to_string()),
        "family": model.map(|model| model.graph.family.clone()),
        "before": model.map(|model| cost(&model.cost)),
        "after": at_end.map(cost),
        // While scores decide, a cost is a range.
        "least": at_end.map(least),
        "errors": examined.map_or(0, |examined| {
            examined.diagnostics.iter().filter(|it| it.severity == tamis::diagnostic::Severity::Error).count()
        }),
    })
}
