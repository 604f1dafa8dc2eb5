//! `latency`: how long a forward pass takes on this machine.

use std::time::Instant;

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::{read_batches, run_once};
use crate::pass::{Context, Count, Data, Measure};
use crate::runtime::{Failure, Model};

measure! {
    /// The median time of a forward pass over the samples, in seconds, after one that is not counted; computed in f32 by all
    /// threads, weights in memory. It is of the machine that it was taken on, and the one number of a report that differs
    /// from run to run: compare it `of input` only.
    Latency = "latency" in Seconds
    {
        /// What is run: all of its samples, in batches.
        data: Data,
        /// How often.
        runs: Count = "5",
    }
}

impl Measure for Latency {
    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let batches = read_batches(at, &self.data, None)?;
        let model = Model::new(at.version);
        let weights = model.load().map_err(Failure::told)?;
        let pass = || -> Result<f64, Failure> {
            let begun = Instant::now();
            batches.iter().try_for_each(|batch| run_once(&model, &weights, batch))?;
            Ok(begun.elapsed().as_secs_f64())
        };
        pass().map_err(Failure::told)?;
        let times: Result<Vec<f64>, Failure> = (0..self.runs.0.max(1)).map(|_| pass()).collect();
        let mut times = times.map_err(Failure::told)?;
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}
