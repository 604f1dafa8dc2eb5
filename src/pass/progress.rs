//! How work says where it is; the command line draws it.

/// What is going on, for people who wait. Called from many threads.
pub trait Progress: Sync {
    /// A task begins; with a number of bytes where they are counted.
    fn start(&self, what: &str, bytes: Option<u64>);

    /// So many bytes of it are done.
    fn advance(&self, bytes: u64);

    /// A training begins, of so many steps.
    fn steps(&self, what: &str, _steps: u64) {
        self.start(what, None);
    }

    /// So many steps of it are done; the note says how it goes.
    fn step(&self, _done: u64, _note: &str) {}

    /// It is done.
    fn finish(&self);
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn finish(&self) {}
}
