//! Every diagnostic code once: its name, its severity, whose fault it is, its explanation.

use super::{Code, Fault, Severity};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $ident:ident = $name:literal, $severity:ident, $fault:ident;)+) => {
        $($(#[doc = $doc])+
        pub static $ident: Code = Code {
            name: $name,
            severity: Severity::$severity,
            fault: Fault::$fault,
            explanation: concat!($($doc, "\n"),+),
        };)+
        /// Every code there is, in the order of its phase.
        pub static ALL: &[&Code] = &[$(&$ident),+];
    };
}

codes! {
    // -- syntax
    /// A statement that the grammar does not know. The rest of the file is still checked.
    SYNTAX = "syntax", Error, Recipe;
}
