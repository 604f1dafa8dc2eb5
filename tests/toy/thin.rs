//! `thin layers`: every n-th layer stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use tamis::diagnostic::Diagnostic;
use tamis::pass;
use tamis::pass::elements::{KeepElements, Stay};
use tamis::pass::{Count, Lowering, Pass, Stage, StepScope};

pass! {
    /// Keeps every n-th layer, the first among them.
    ///
    /// ```tamis
    /// thin layers keep 2
    /// ```
    Thin = "thin" ["layers"]
    {
        /// One of so many layers stays.
        Keep every: Count,
    }
    with {}
}

impl Pass for Thin {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let axes = step.axes();
        let places = step.graph.places();
        let stay = |path: &String| {
            let axis = places.axis(path).expect("targets are resolved in this graph");
            let all = step.graph.extent(axis).max;
            (path.clone(), Stay::These((0..all).step_by(self.every.0).collect()))
        };
        let stay: BTreeMap<String, Stay> = axes.iter().map(stay).collect();
        let rewrite = Arc::new(KeepElements::new(step.graph, stay));
        Ok(Lowering { stages: vec![Stage { work: Vec::new(), rewrite }], ..Lowering::default() })
    }
}
