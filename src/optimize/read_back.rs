//! What is measured of a saved model is read from what was saved.

use super::{Fired, Rule};
use crate::plan::{Does, Need, Plan, TaskId};

pub struct ReadBack;

impl Rule for ReadBack {
    fn name(&self) -> &'static str {
        "read-back"
    }

    fn doc(&self) -> &'static str {
        "A measure that needs the weights of a model which is also saved waits for the save and reads its files, so that \
         no tensor is computed twice. Saves that change the type of the weights are not what was measured."
    }

    fn rewrite(&self, plan: &mut Plan) -> Vec<Fired> {
        let measures: Vec<(TaskId, TaskId)> =
            plan.order.iter().filter_map(|&id| Some((id, save_of_same(plan, id)?))).collect();
        let text = |(measure, save): &(TaskId, TaskId)| {
            format!("`{}` reads what `{}` wrote", plan.describe(*measure), plan.describe(*save))
        };
        let fired = measures.iter().map(|pair| Fired::new(text(pair))).collect();
        for (measure, save) in measures {
            plan.tasks.add_edge(save, measure, Need::Written);
        }
        fired
    }
}

/// The save that a measure could wait for.
fn save_of_same(plan: &Plan, id: TaskId) -> Option<TaskId> {
    let Does::Measure(measuring) = &plan.tasks[id].does else { return None };
    let version = plan.needed(id, Need::Version)?;
    // The input is a file already, and costs are read off the graph.
    let needs_weights = measuring.measure.of_cost(&plan.model.cost).is_none();
    if !needs_weights || version == plan.source() || plan.needed(id, Need::Written).is_some() {
        return None;
    }
    let is_as_it_is = |save: &TaskId| match &plan.tasks[*save].does {
        Does::Save(saving) => saving.dtype.is_none(),
        _ => false,
    };
    plan.users(version).into_iter().find(is_as_it_is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::optimize;
    use crate::plan::toys::planned;

    #[test]
    fn a_measure_waits_for_the_save_of_the_same_model() {
        let plan = planned(|body| {
            body.halve(&["head"]).measure().save("out");
        });
        let (plan, trace) = optimize(plan, &[&ReadBack]);
        assert_eq!(trace.fired[0].1.text, "`zeros` reads what `out` wrote");
        let kinds: Vec<&str> = plan.ordered().map(|(_, task)| task.kind()).collect();
        assert_eq!(kinds, ["source", "rewrite", "save", "measure"]);
    }

    #[test]
    fn the_input_and_models_that_are_not_saved_are_measured_as_they_are() {
        let plan = planned(|body| {
            body.measure().halve(&["head"]).measure().cut("layers", &[1]).save("out");
        });
        assert_eq!(optimize(plan, &[&ReadBack]).1.fired, []);
    }
}
