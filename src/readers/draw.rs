//! Which samples are taken: the first ones, or a seeded draw, and never silently fewer than asked for.

use std::collections::BTreeMap;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{Count, Placed};

/// Items one after the other; after an error there are no more.
pub type Items<T> = Box<dyn Iterator<Item = Result<T, Diagnostic>> + Send>;

/// What a reader's `samples`, `seed` and `shuffle` say.
#[derive(Debug, Clone)]
pub struct Draw {
    pub samples: Option<Placed<Count>>,
    /// The seed, where samples are drawn in random order.
    pub shuffle: Option<u64>,
}

impl Draw {
    pub fn new(samples: &Option<Placed<Count>>, seed: u64, shuffle: bool) -> Self {
        Self { samples: samples.clone(), shuffle: shuffle.then_some(seed) }
    }

    /// The items to take of all that there are. `what` names one: `window of 512 tokens`.
    ///
    /// In random order each item gets a key, in the order in which it is read, and those with the smallest keys are taken.
    /// So no more of them is held than is asked for, and the first of many are the same as a few.
    ///
    /// # Errors
    /// Where items have to be read first to draw from them, and cannot be.
    pub fn of<T: Send + 'static>(&self, items: Items<T>, what: &str) -> Result<Items<T>, Diagnostic> {
        let items: Items<T> = match self.shuffle {
            Some(seed) => Box::new(self.drawn(items, seed)?),
            None => items,
        };
        Ok(Box::new(Exactly {
            items,
            samples: self.samples.clone(),
            seen: 0,
            what: what.into(),
            over: false,
        }))
    }

    fn drawn<T: Send>(
        &self,
        items: Items<T>,
        seed: u64,
    ) -> Result<impl Iterator<Item = Result<T, Diagnostic>> + Send + use<T>, Diagnostic> {
        let most = self.samples.as_ref().map_or(usize::MAX, |samples| samples.value.0);
        let mut keys = ChaCha20Rng::seed_from_u64(seed);
        let mut drawn = BTreeMap::new();
        for (number, item) in items.enumerate() {
            drawn.insert((keys.next_u64(), number), item?);
            if drawn.len() > most {
                drawn.pop_last();
            }
        }
        Ok(drawn.into_values().map(Ok))
    }

    /// An error where there are known to be too few.
    ///
    /// # Errors
    /// With the number that there is.
    pub fn suffices(&self, there: usize, what: &str) -> Result<(), Diagnostic> {
        match &self.samples {
            Some(samples) if samples.value.0 > there => Err(too_few(samples, there, what)),
            _ => Ok(()),
        }
    }
}

/// As many items as are asked for, or an error at their end.
struct Exactly<T> {
    items: Items<T>,
    samples: Option<Placed<Count>>,
    seen: usize,
    what: String,
    over: bool,
}

impl<T> Iterator for Exactly<T> {
    type Item = Result<T, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.samples.as_ref().is_some_and(|samples| samples.value.0 == self.seen) {
            return None;
        }
        match self.items.next() {
            Some(Ok(item)) => {
                self.seen += 1;
                Some(Ok(item))
            }
            Some(Err(error)) => {
                self.over = true;
                Some(Err(error))
            }
            None => {
                self.over = true;
                match &self.samples {
                    Some(samples) => Some(Err(too_few(samples, self.seen, &self.what))),
                    None if self.seen == 0 => {
                        let message = format!("there is not one {}", self.what);
                        Some(Err(Diagnostic::new(&codes::DATA_TOO_FEW, message)))
                    }
                    None => None,
                }
            }
        }
    }
}

fn too_few(samples: &Placed<Count>, there: usize, what: &str) -> Diagnostic {
    let there = match there {
        0 => format!("there is not one {what}"),
        1 => format!("there is 1 {what}"),
        _ => format!("there are {there} samples, each a {what}"),
    };
    samples.wrong(&codes::DATA_TOO_FEW, format!("{there}, where {} are asked for", samples.value.0))
}
