//! `tamis time`: how long a model's operations take on this machine, as a table for recipes that bound latency.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tamis::check::MeasuredAt;
use tamis::diagnostic::numbers::milliseconds;
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::graph::{Graph, Times};
use tamis::observe::measure_times;
use tamis::weights::Version;

use super::answer::{Answer, Format, Session};
use super::progress::Bars;
use super::settings::InputSize;
use super::table::{Align, table};

/// Measure how long a model's operations take here, for recipes that bound latency
#[derive(Debug, clap::Args)]
pub struct Time {
    /// A directory, or a name in the local Hugging Face cache
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Write the table to this file, for `measure at { times: "FILE" }`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    size: InputSize,
    /// Threads that compute, at most those of the machine; all of them where nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// How often each time is taken; the median counts
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Time {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let (checkpoint, mut graph) = session.files.graph(&self.model, &mut session.sources)?;
        if !checkpoint.has_weights() {
            let message = format!("`{}` is a config alone, and cannot be run", self.model.display());
            return Err(Diagnostic::new(&codes::WEIGHTS_MISSING, message).path(&self.model).into());
        }
        let MeasuredAt { tokens, batch } = self.size.of(&graph)?;
        graph.set_tokens(tokens);
        let version = Version::open(graph, &Arc::new(checkpoint));
        let measure = || measure_times(&version, batch as usize, self.runs.into(), &Bars::default());
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or(most, usize::from).min(most);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let times = pool.expect("the machine has as many threads").install(measure)?;
        if let Some(path) = &self.out {
            let text = serde_json::to_string_pretty(&times).expect("times are plain data") + "\n";
            std::fs::write(path, text).map_err(|error| {
                let message = format!("cannot write `{}`: {error}", path.display());
                Diagnostic::new(&codes::OUTPUT_NOT_WRITABLE, message).path(path)
            })?;
        }
        let mut graph = version.graph.clone();
        graph.set_times(times.clone());
        Ok(match self.format {
            Format::Json => Answer::fields(json!({ "times": times, "operations": rows(&graph, batch) })),
            _ => Answer::Text(shown(&graph, &times, batch)),
        })
    }
}

/// What each kind of operation takes, all layers together.
fn rows(graph: &Graph, batch: u64) -> Vec<Value> {
    let row = |(place, (count, nanoseconds)): (String, (usize, u64))| json!({ "place": place, "count": count, "nanoseconds": nanoseconds });
    graph.times_by_place(batch).into_iter().map(row).collect()
}

fn shown(graph: &Graph, times: &Times, batch: u64) -> String {
    let all = graph.cost(batch).nanoseconds.max;
    let share = |part: u64| format!("{:.1} %", 100.0 * part as f64 / all.max(1) as f64);
    let by_place = graph.times_by_place(batch);
    let rest = all.saturating_sub(by_place.values().map(|(_, time)| time).sum());
    let input = match times.tokens {
        Some(tokens) => format!("{tokens} tokens"),
        None => "1 picture".into(),
    };
    let title = format!("batch {}, {input}, {} threads", times.batch, times.threads);
    let mut rows = vec![[title, String::new(), milliseconds(all), String::new()]];
    for (place, (count, time)) in by_place {
        let times = if count > 1 {
            format!("{count} x {}", milliseconds(time / count as u64))
        } else {
            String::new()
        };
        rows.push([place, times, milliseconds(time), share(time)]);
    }
    rows.push(["everything else".into(), String::new(), milliseconds(rest), share(rest)]);
    table(rows, [Align::Left, Align::Right, Align::Right, Align::Right])
}
