//! Progress on standard error: a bar for whatever takes longer than half a second, a plain line where no terminal is.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tamis::execute::Progress;

use super::terminal;

/// What is done sooner needs no word.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);
/// A log gets a line of a training so often.
const LINES: Duration = Duration::from_secs(20);

const BYTES: &str = "{spinner} {msg} {wide_bar} {bytes}/{total_bytes} {eta}";
const TIME: &str = "{spinner} {msg} {elapsed}";
const STEPS: &str = "{spinner} {msg} {wide_bar} {pos}/{len} {eta}";

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
    /// What a training is called, and when there is a line to be written of it where no terminal is.
    training: Option<(String, Instant)>,
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

    fn begin(&self, what: &str, length: Option<u64>, template: &str) {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are well formed"));
        bar.set_message(what.to_owned());
        let (end, ended) = mpsc::channel::<()>();
        let shown = bar.clone();
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                show(&shown);
            }
        });
        *self.current() = Some(Task { bar, _end: end, training: None });
    }
}

impl Progress for Bars {
    fn start(&self, what: &str, bytes: Option<u64>) {
        self.begin(what, bytes, if bytes.is_some() { BYTES } else { TIME });
    }

    fn steps(&self, what: &str, steps: u64) {
        self.begin(what, Some(steps), STEPS);
        if let Some(task) = &mut *self.current() {
            task.training = Some((what.to_owned(), Instant::now() + LINES));
        }
    }

    fn step(&self, done: u64, note: &str) {
        let Some(task) = &mut *self.current() else { return };
        let Some((what, due)) = &mut task.training else { return };
        task.bar.set_position(done);
        if io::stderr().is_terminal() {
            task.bar.set_message(format!("{what}, {note}"));
            return;
        }
        if Instant::now() < *due {
            return;
        }
        *due = Instant::now() + LINES;
        let (all, left) = (task.bar.length().unwrap_or(done), HumanDuration(task.bar.eta()));
        terminal::write_err(&format!("  step {done} of {all}, {note}, {left} left\n"));
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
