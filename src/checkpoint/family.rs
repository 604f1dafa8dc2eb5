//! placeholder
use super::Config;
use crate::diagnostic::Diagnostic;
use crate::graph::Builder;

/// A family.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub model_types: &'static [&'static str],
    pub doc: &'static str,
    pub build: fn(&Config, &mut Builder<'_>) -> Result<(), Diagnostic>,
}
