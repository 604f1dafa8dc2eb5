//! What `tamis run --format json` answers.

use serde_json::{Map, Value, json};

use crate::provenance::{Measured, Provenance};

/// One output: `output, before, after, steps, measures, expectations`. Several, of a sweep: `outputs`, a list of these.
pub fn json(outputs: &[(String, &Provenance)]) -> Value {
    match outputs {
        [(output, provenance)] => of_one(output, provenance),
        several => {
            let all = several.iter().map(|(output, provenance)| of_one(output, provenance));
            json!({ "outputs": all.collect::<Vec<_>>() })
        }
    }
}

fn of_one(output: &str, provenance: &Provenance) -> Value {
    json!({
        "output": output,
        "before": provenance.before,
        "after": provenance.after,
        "steps": provenance.steps,
        "measures": measures(&provenance.measures),
        "expectations": provenance.expectations,
        "loads_in": provenance.loads_in,
        "notes": provenance.notes,
    })
}

/// Values by text as written. Of a measure taken several times the last has the text alone.
fn measures(measured: &[Measured]) -> Map<String, Value> {
    let mut values = Map::new();
    for (at, it) in measured.iter().enumerate() {
        let again = measured[at + 1..].iter().any(|later| later.text == it.text);
        let name = if again { format!("{} after step {}", it.text, it.after_step) } else { it.text.clone() };
        values.insert(name, json!(it.value));
    }
    values
}
