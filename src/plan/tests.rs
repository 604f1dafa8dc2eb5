//! Plans of toy recipes, as lines.

use super::toys::planned;
use super::{Does, dot, json, table, text};
use crate::check::ExpectBound;

#[test]
fn a_step_is_scored_selected_and_rewritten() {
    let plan = planned(|body| {
        body.prune(&[0, 1], 4).save("out/toy");
    });
    let lines = [
        "1 source   models/toy",
        "2 score    sum of neurons (2 axes)                       <- 1",
        "3 select   the best of each of 2 axes                    <- 1, 2",
        "4 rewrite  keep 4 in neurons (2 axes), to scratch files  <- 1, 3",
        "5 save     out/toy                                       <- 4",
    ];
    assert_eq!(text(&plan).lines().collect::<Vec<_>>(), lines);
}

#[test]
fn branches_of_a_sweep_share_what_is_equal() {
    let plan = planned(|body| {
        body.cut("layers", &[0, 1]).sweep(&["r = 2", "r = 4"], |at, body| {
            body.prune(&[0], 2 + 2 * at).measure().save(format!("out/{at}"));
        });
    });
    // One cut, one score; two each of select, rewrite, measure and save.
    assert_eq!((plan.order.len(), plan.wanted), (11, 12));
    let score = plan.ordered().find(|(_, task)| task.kind() == "score").unwrap().1;
    assert_eq!(score.steps, [2, 3]);
    let saves: Vec<_> =
        plan.saves().map(|(_, saving)| (&saving.branch, &saving.steps, saving.entries.len())).collect();
    assert_eq!(
        saves,
        [(&vec!["r = 2".to_string()], &vec![1, 2], 1), (&vec!["r = 4".to_string()], &vec![1, 3], 1)]
    );
}

#[test]
fn a_save_knows_what_is_measured_of_it_before_and_after_it_in_the_text() {
    let plan = planned(|body| {
        body.measure().halve(&["head"]).save("out/a").measure().cut("layers", &[0]).measure().save("out/b");
    });
    let entries: Vec<Vec<usize>> = plan
        .saves()
        .map(|(_, saving)| saving.entries.iter().map(|entry| entry.after_step).collect())
        .collect();
    assert_eq!(entries, [vec![0, 1], vec![0, 1, 2]]);
}

#[test]
fn an_expectation_relative_to_the_input_measures_the_input_too() {
    let plan = planned(|body| {
        body.halve(&["head"]).expect(ExpectBound::OfInput(1.0)).save("out/a");
    });
    let measures: Vec<_> = plan
        .ordered()
        .filter(|(_, task)| matches!(task.does, Does::Measure(_)))
        .map(|(id, _)| plan.needs(id))
        .collect();
    assert_eq!(measures.len(), 2);
    assert!(measures.contains(&vec![plan.source()]));
}

#[test]
fn keys_tell_arguments_and_inputs_apart() {
    let key = |layers: &[usize], keep| {
        let plan = planned(|body| {
            body.prune(layers, keep).save("out/a");
        });
        plan.tasks[plan.order[2]].key
    };
    assert_eq!(key(&[0], 4), key(&[0], 4));
    assert_ne!(key(&[0], 4), key(&[0], 3));
    assert_ne!(key(&[0], 4), key(&[1], 4));
}

#[test]
fn the_table_shows_costs_after_each_step() {
    let plan = planned(|body| {
        body.halve(&["head"]).cut("layers", &[0, 1]).save("out/a");
    });
    let lines = [
        "                                params   MACs     bytes",
        "  input models/toy, 16 tokens   328      4.42 K   1.31 KB",
        "1 halve it                      same     same     same      1 weight 1:2",
        "2 cut   it                      184      2.37 K   0.74 KB",
    ];
    assert_eq!(table(&plan).lines().collect::<Vec<_>>(), lines);
}

#[test]
fn json_and_dot_name_every_task() {
    let plan = planned(|body| {
        body.prune(&[0], 4).save("out \"a\"");
    });
    let json = json(&plan);
    assert_eq!(json["tasks"].as_array().unwrap().len(), 5);
    assert_eq!(json["before"]["params"], 328);
    assert_eq!(json["after"]["params"], 292);
    assert_eq!(json["tasks"][3]["needs"], serde_json::json!([1, 3]));
    let dot = dot(&plan);
    assert!(dot.contains(r#"t5 [label = "5 save\nout \"a\""]"#), "{dot}");
    assert!(dot.contains("t3 -> t4 [style = dashed];"), "{dot}");
}
