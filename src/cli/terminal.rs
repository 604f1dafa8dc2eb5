//! Standard output and standard error: who reads them, how wide they are, and what happens when nobody reads on.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

use tamis::diagnostic::Style;

/// Columns where no terminal says.
const WIDTH: usize = 100;

/// How to write to a stream: colour and width are those of a terminal, or there is none and the text is plain.
pub fn style(stream: &(impl IsTerminal + AsFd)) -> Style {
    if !stream.is_terminal() {
        return Style { colour: false, width: WIDTH };
    }
    let size = rustix::termios::tcgetwinsize(stream.as_fd());
    let width = size.map_or(0, |size| usize::from(size.ws_col));
    Style { colour: wants_colour(), width: if width == 0 { WIDTH } else { width } }
}

/// See <https://no-color.org>.
fn wants_colour() -> bool {
    let set = |name| std::env::var_os(name).unwrap_or_default();
    set("NO_COLOR").is_empty() && set("TERM") != "dumb"
}

/// Writes a result. A reader that went away, as `head` does, has read enough.
pub fn write_out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes what is not a result. Where nobody can be told, nobody is.
pub fn write_err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
