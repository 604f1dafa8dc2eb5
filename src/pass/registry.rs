//! What can be done: the lists, handed to every phase. No phase knows an entry by name.

use super::measure::MeasureSpec;
use super::reader::ReaderSpec;
use super::spec::{CriterionSpec, PassSpec};
use crate::checkpoint::Family;

/// The lists of passes, criteria, measures, readers and families.
#[derive(Debug, Clone, Copy)]
pub struct Registry {
    pub passes: &'static [&'static PassSpec],
    pub criteria: &'static [&'static CriterionSpec],
    pub measures: &'static [&'static MeasureSpec],
    pub readers: &'static [&'static ReaderSpec],
    pub families: &'static [&'static Family],
}

impl Registry {
    /// All passes of a verb; several where it means different things for different nouns.
    pub fn passes_of(&self, verb: &str) -> impl Iterator<Item = &'static PassSpec> {
        self.passes.iter().copied().filter(move |pass| pass.verb == verb)
    }

    pub fn criterion(&self, name: &str) -> Option<&'static CriterionSpec> {
        self.criteria.iter().copied().find(|criterion| criterion.name == name)
    }

    pub fn measure(&self, name: &str) -> Option<&'static MeasureSpec> {
        self.measures.iter().copied().find(|measure| measure.name == name)
    }

    pub fn reader(&self, name: &str) -> Option<&'static ReaderSpec> {
        self.readers.iter().copied().find(|reader| reader.name == name)
    }
}
