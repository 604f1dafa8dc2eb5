//! Budgets of time: a table is measured once, and bounds what a step leaves from then on.

use std::path::Path;
use std::sync::Arc;

use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::graph::{Graph, Grid, Times};

use crate::program::Place;

const STEP: &str = "prune heads, neurons of layers[*] to 60%";

/// What a run of a recipe reports.
fn reported(place: &Place, recipe: &str) -> serde_json::Value {
    place.write("x.tamis", recipe);
    let ran = place.tamis("run x.tamis --replace");
    assert_eq!(ran.code, Some(0), "{recipe}: {}", ran.stderr);
    serde_json::from_str(&place.read("out/report.json")).expect("a report")
}

fn recipe(cost: &str) -> String {
    let at = "measure at { tokens: 64, times: \"times.json\" }";
    format!("model input = \"models/bert-eras\"\n{at}\n{STEP} {cost}\nsave \"out\"\n")
}

#[test]
fn a_measured_table_bounds_latency() {
    let place = Place::new();
    let ran = place.tamis("time models/bert-eras --tokens 64 --runs 1 --out times.json");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("layers[*].attention.query"), "{}", ran.stdout);
    let report = reported(&place, &recipe("latency"));
    let time = |of: &str| report[of]["nanoseconds"].as_f64().expect("a time");
    let reached = time("after") / time("before");
    // How near it comes depends on what a head takes here and now.
    assert!(reached <= 0.6 && reached > 0.3, "{reached}");
    // The output has the table, and can be made again.
    let again = place.tamis("verify out --rerun");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    // The same table gives the same bytes, however fast the machine is now.
    let digest = |report: &serde_json::Value| report["steps"][0]["kept"].to_string();
    assert_eq!(digest(&report), digest(&reported(&place, &recipe("latency"))));
}

/// Attention that is converted takes its own time, or none is known.
#[test]
fn flow_attention_has_times_of_its_own() {
    let place = Place::new();
    place.write("times.json", serde_json::to_string(&in_proportion()).expect("plain data"));
    let at = "measure at { tokens: 64, times: \"times.json\" }";
    let text = format!(
        "model input = \"models/bert-eras\"\n{at}\nconvert attention of layers[*] into flow\nsave \"out\"\n"
    );
    place.write("x.tamis", &text);
    let ran = place.tamis("check x.tamis");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("error[no-times]"), "{}", ran.stdout);
    let ran = place.tamis("time models/bert-eras --tokens 64 --runs 1 --out times.json");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = reported(&place, &text);
    let times: Times = serde_json::from_str(&place.read("times.json")).expect("a table");
    let [soft, flow] = ["layers[*].attention", "layers[*].attention as flow"]
        .map(|place| times.operations[place].nanoseconds[0].last().copied().expect("a point"));
    let [before, after] = ["before", "after"].map(|of| report[of]["nanoseconds"].as_f64().expect("a time"));
    let expected = 4.0 * (flow - soft);
    assert!((after - before - expected).abs() <= 0.01 * expected.abs() + 8.0, "{before} {after} {expected}");
}

/// Where every multiply-accumulate takes a nanosecond and nothing else takes any, a budget of time is one of MACs.
#[test]
fn times_in_proportion_to_macs_choose_as_macs_do() {
    let place = Place::new();
    place.write("times.json", serde_json::to_string(&in_proportion()).expect("plain data"));
    let [by_time, by_macs] = ["latency", "macs"].map(|cost| reported(&place, &recipe(cost)));
    assert_eq!(by_time["before"]["nanoseconds"], by_time["before"]["macs"]);
    assert!(by_time["after"]["macs"].as_u64() < by_time["before"]["macs"].as_u64());
    assert_eq!(by_time["steps"][0]["kept"], by_macs["steps"][0]["kept"]);
}

fn in_proportion() -> Times {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/bert-eras");
    let checkpoint = Arc::new(Checkpoint::open(&dir).expect("the model is in the repository"));
    let mut graph: Graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    graph.set_tokens(64);
    let mut times = Times::new(Some(64), 1, 1);
    for op in graph.schedule() {
        for (node, site) in graph.timed(op) {
            let (inputs, outputs) = match site {
                Some(site) => {
                    let (outs, ins) = graph.site_dims(site);
                    (graph.dim_extent(&ins), graph.dim_extent(&outs))
                }
                None => (1, 64),
            };
            let macs = graph.macs(op).max as f64;
            let width = graph.ops[op].value.last().map_or(1, |dim| graph.dim_extent(dim));
            let all = if site.is_some() { inputs * outputs } else { width };
            let points = |most: usize| if most > 1 { vec![1, most] } else { vec![1] };
            let (inputs, outputs) = (points(inputs), points(if site.is_some() { outputs } else { width }));
            let time = |ins: &usize, outs: &usize| macs / all as f64 * (ins * outs) as f64;
            let nanoseconds =
                inputs.iter().map(|ins| outputs.iter().map(|outs| time(ins, outs)).collect()).collect();
            times.operations.insert(graph.place_of_all(node), Grid { inputs, outputs, nanoseconds });
        }
    }
    times
}
