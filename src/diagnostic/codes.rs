//! Every diagnostic code once: its name, its severity, whose fault it is, its explanation.

use super::Severity;

/// Whose fault it is; decides the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The recipe is wrong, or an expectation failed: exit 1.
    Recipe,
    /// The command line is wrong: exit 2.
    Usage,
    /// An input could not be read: exit 3.
    Input,
    /// An output could not be written: exit 4.
    Output,
}

/// A kind of diagnostic. Stable: scripts and editors match on `name`.
#[derive(Debug, PartialEq)]
pub struct Code {
    pub name: &'static str,
    pub severity: Severity,
    pub fault: Fault,
    /// The long form for `tamis explain`, in markdown.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $ident:ident = $name:literal, $severity:ident, $fault:ident;)+) => {
        /// One constant a code.
        pub mod codes {
            use super::*;
            $($(#[doc = $doc])+
            pub static $ident: Code = Code {
                name: $name,
                severity: Severity::$severity,
                fault: Fault::$fault,
                explanation: concat!($($doc, "\n"),+),
            };)+
        }
        /// Every code there is, in the order of its phase.
        pub static ALL: &[&Code] = &[$(&codes::$ident),+];
    };
}

codes! {
    // -- syntax
    /// A statement that the grammar does not know. The rest of the file is still checked.
    SYNTAX = "syntax", Error, Recipe;
}
