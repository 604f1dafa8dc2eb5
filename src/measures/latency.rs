//! `latency`: how long a forward pass takes on this machine.

use std::time::Instant;

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::{blank, read_batches, run_once};
use crate::pass::{Context, Count, Data, Measure, Ratio};
use crate::runtime::{Failure, Model};

measure! {
    /// The median time of a forward pass, in seconds, after one that is not counted; computed in f32, weights in memory. It is of
    /// the machine that it was taken on, and the one number of a report that differs from run to run: compare it `of input` only.
    ///
    /// With `data` a pass is all of its samples, in batches as they come; without, one made-up batch of the size that `measure at`
    /// says, or of the config's pictures. `quantile` asks for another time than the median: 90 % beside 50 % tells the spread.
    ///
    /// ```tamis
    /// measure latency(batch: 8, threads: 2), latency(batch: 8, threads: 2, quantile: 90%)
    /// ```
    Latency = "latency" in Seconds
    {
        /// What is run, where it matters.
        data: Option<Data>,
        /// Samples that go through the model together, where they are made up.
        batch: Count = "1",
        /// Threads that compute, at most those of the machine; as many as the program has where nothing is said.
        threads: Option<Count>,
        /// How often.
        runs: Count = "5",
        /// Which of the times in ascending order.
        quantile: Ratio = "50%",
    }
}

impl Measure for Latency {
    fn data(&self) -> Vec<Data> {
        self.data.iter().cloned().collect()
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let batches = match &self.data {
            Some(data) => read_batches(at, data, None)?,
            None => vec![blank(&at.version.graph, self.batch.0.max(1))],
        };
        let model = Model::new(at.version);
        let weights = model.load().map_err(Failure::told)?;
        let pass = || -> Result<f64, Failure> {
            let begun = Instant::now();
            batches.iter().try_for_each(|batch| run_once(&model, &weights, batch))?;
            Ok(begun.elapsed().as_secs_f64())
        };
        let times = || -> Result<Vec<f64>, Failure> {
            pass()?;
            (0..self.runs.0.max(1)).map(|_| pass()).collect()
        };
        let times = match self.threads {
            None => times(),
            Some(Count(threads)) => {
                let most = std::thread::available_parallelism().map_or(1, usize::from);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.clamp(1, most)).build();
                pool.expect("the program has as many threads already").install(times)
            }
        };
        let mut times = times.map_err(Failure::told)?;
        times.sort_by(f64::total_cmp);
        let last = (times.len() - 1) as f64;
        Ok(times[(last * self.quantile.0).round() as usize])
    }
}
