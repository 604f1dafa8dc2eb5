//! Where config and tensors disagree, as diagnostics: each names tensor, expected axes, what was found and the config field.

use super::text::shown;
use super::{Checkpoint, Config, Family};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, codes};
use crate::graph::{BuildError, Member};

/// So many disagreements of one kind are told one by one.
const TOLD: usize = 3;

pub fn disagreements(errors: &[BuildError], family: &Family, checkpoint: &Checkpoint) -> Diagnostics {
    let teller = Teller { family, checkpoint };
    let mut diagnostics = Diagnostics::new();
    let kinds: [fn(&BuildError) -> bool; 5] = [
        |error| matches!(error, BuildError::Disagree { .. }),
        |error| matches!(error, BuildError::Misshapen { .. }),
        |error| matches!(error, BuildError::NotFloat { .. }),
        |error| matches!(error, BuildError::Missing { .. }),
        |error| matches!(error, BuildError::Extra { .. }),
    ];
    for kind in kinds {
        let all: Vec<&BuildError> = errors.iter().filter(|error| kind(error)).collect();
        diagnostics.extend(all.iter().take(TOLD).map(|error| teller.tell(error)));
    }
    diagnostics
}

struct Teller<'a> {
    family: &'a Family,
    checkpoint: &'a Checkpoint,
}

impl Teller<'_> {
    fn tell(&self, error: &BuildError) -> Diagnostic {
        let message = format!("{error:?} {}", self.family.name);
        Diagnostic::new(&codes::TENSOR_MISSING, message).path(&self.checkpoint.dir)
    }
}
