//! Ctrl-C: what is in the making is taken back before the program ends.

use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tamis::checkpoint::discard;

use super::terminal;

/// Signals that tell a program to stop, and that can be answered.
const STOPS: [libc::c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// Whether a signal is being answered. What fails from now on fails because its files are taken away.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Waits for the end where the program is being stopped: the signal says how it ended, not an error that came of it.
pub fn settle() {
    while STOPPING.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Holds signals back from all threads, this one and those that it starts from now on.
pub struct Held(libc::sigset_t);

/// Called before the first other thread is started.
pub fn hold() -> Held {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set; the other calls get it initialised and numbers of signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for signal in STOPS.into_iter().filter(|&signal| !is_ignored(signal)) {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        Held(set)
    }
}

/// Whether who started the program wants it not to hear a signal, as `nohup` does.
fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null action changes nothing; the old one is written to memory of its type, all zeros of which are one.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

impl Held {
    /// From now on a signal removes what is unfinished of these outputs, and a directory that nobody is to see; then it
    /// does what it does by default.
    pub fn take_back(self, outputs: Vec<PathBuf>, hidden: Option<PathBuf>) {
        thread::spawn(move || {
            let mut signal = 0;
            // SAFETY: the set was initialised by `hold`, and `signal` outlives the call.
            if unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } != 0 {
                return;
            }
            STOPPING.store(true, Ordering::SeqCst);
            terminal::write_err("stopped: outputs that were not finished are taken back\n");
            // Other threads go on for a moment and may make a file while its directory is being removed.
            for _ in 0..3 {
                outputs.iter().for_each(|output| discard(output));
                let _ = hidden.as_ref().map(std::fs::remove_dir_all);
            }
            // SAFETY: as above; the default action of these signals ends the process.
            unsafe {
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const self.0, std::ptr::null_mut());
                libc::raise(signal);
            }
        });
    }
}
