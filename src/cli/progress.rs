//! Progress on standard error: a bar for whatever takes longer than half a second, a plain line where no terminal is.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tamis::execute::Progress;

use super::terminal;

/// What is done sooner needs no word.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// One task at a time.
#[derive(Debug, Default)]
pub struct Bars {
    current: Mutex<Option<Task>>,
}

/// A task that is going on. Dropped, it is over, whether it was shown or not.
#[derive(Debug)]
struct Task {
    bar: ProgressBar,
    /// Closed when the task ends, which the thread that waits to show it hears.
    _end: Sender<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Bars {
    fn current(&self) -> MutexGuard<'_, Option<Task>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Bars {
    fn start(&self, what: &str, bytes: Option<u64>) {
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::hidden());
        bar.set_style(style(bytes.is_some()));
        bar.set_message(what.to_owned());
        let (end, ended) = mpsc::channel::<()>();
        let shown = bar.clone();
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                show(&shown);
            }
        });
        *self.current() = Some(Task { bar, _end: end });
    }

    fn advance(&self, bytes: u64) {
        if let Some(task) = &*self.current() {
            task.bar.inc(bytes);
        }
    }

    fn finish(&self) {
        self.current().take();
    }
}

fn show(bar: &ProgressBar) {
    if io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(TICK);
    } else {
        terminal::write_err(&format!("{} …\n", bar.message()));
    }
}

fn style(counts: bool) -> ProgressStyle {
    let template = match counts {
        true => "{spinner} {msg} {wide_bar} {bytes}/{total_bytes} {eta}",
        false => "{spinner} {msg} {elapsed}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}
