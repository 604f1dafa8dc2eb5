//! A task's key: what it does, its arguments, and the keys of what it needs.

use serde_json::{Value, json};

use super::task::{Does, Need};
use crate::check::MeasuredAt;
use crate::checkpoint::Digest;
use crate::graph::Times;

/// Inputs are given in the order in which they are needed.
pub fn key(does: &Does, inputs: &[(Need, Digest)], at: MeasuredAt, times: Option<&Times>) -> Digest {
    let mut text = arguments(does, at, times).to_string();
    for (need, key) in inputs {
        text.push_str(&format!("\n{need:?} {key}"));
    }
    Digest::blake3(text.as_bytes())
}

/// All that a task depends on beside its inputs. Descriptions stand in it too: different kinds of work may have equal arguments.
fn arguments(does: &Does, at: MeasuredAt, times: Option<&Times>) -> Value {
    match does {
        Does::Source => json!(["source", at.tokens, at.batch, times]),
        Does::Work(work) => {
            json!(["work", work.kind(), work.describe(), work.arguments(), work.reads()])
        }
        Does::Rewrite(rewriting) => {
            let rewrite = &rewriting.rewrite;
            json!(["rewrite", rewrite.describe(), rewrite.arguments(), rewrite.touches()])
        }
        // A measure's arguments are its fields, which is what it shows for debugging.
        Does::Measure(measuring) => {
            let shown = format!("{:?}", measuring.measure);
            json!(["measure", measuring.spec.name, measuring.text, shown, measuring.sites])
        }
        Does::Expect(expecting) => {
            json!(["expect", expecting.text, format!("{:?} {:?}", expecting.op, expecting.bound)])
        }
        Does::Save(saving) => json!([
            "save",
            saving.path.to_string_lossy(),
            saving.branch,
            saving.shard_size,
            saving.dtype.map(|dtype| dtype.to_string()),
            saving.steps,
        ]),
    }
}
