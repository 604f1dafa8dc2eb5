//! `sparsify`: weights set to zero, by pattern or by share.
//!
//! ```tamis
//! sparsify weights of layers[*].mlp by magnitude to 2:4
//! ```

mod amount;
mod fit;
mod mask;
mod pools;
mod replace;
mod rules;
mod scores;
mod select;
mod spread;

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::Weight;
use crate::observe::Flow;
use crate::pass::{
    Asked, Count, Lowering, Pass, Ratio, Reconstructing, Scorer, Stage, StepScope, Tuning, Work,
};
use crate::syntax::ast::ClauseKind;
use crate::tensor::obs::Zeroing;
use crate::tensor::pattern::Pattern;
use crate::{choice, pass};
use amount::Amount;
use fit::refuse_misfits;
use mask::{How, MaskWeights};
use replace::ReplaceWeights;
use rules::Scores;
use select::SelectWeights;

choice! {
    /// Which weights compete with each other for a share of zeros.
    pub enum Scope("a scope") {
        /// Those of one matrix: each gets the share.
        Tensor = "tensor",
        /// Those of one output, as in Wanda: each row gets the share.
        Row = "row",
        /// Those of matrices of one kind, as in DIMAP: query, key and value; attention outputs; feed-forward blocks.
        Group = "group",
        /// All: matrices that matter less get more zeros.
        Global = "global",
    }
}

pass! {
    /// Sets weights to zero, by an N:M pattern or by a share. Shapes stay, and the zeros are stored.
    ///
    /// `to 2:4` keeps, for each output, the two highest scores of every four consecutive inputs; any N:M of up to 256 will
    /// do, if M divides the inputs. The inputs of a convolution are its channels, height and width in a row.
    ///
    /// `to 80% zeros` makes at least that share of the selected weights zero, to the weight: the count is exact, and of equal
    /// scores those of lower output, then input, go first. Zeros that are there already count.
    ///
    /// Biases and norms are never zeroed. Zeros last: a later step that would end a pattern is an error, unless
    /// `densify weights` stands in between.
    ///
    /// ```tamis
    /// sparsify weights of layers[*].mlp by magnitude to 2:4
    /// sparsify weights of layers[*] by magnitude to 80% zeros with { scope: global, floor: 0.05% }
    /// sparsify weights of layers[*].attention by lamp to 50% zeros with { scope: group }
    ///
    /// data train = text("train.jsonl", label: "label")
    /// sparsify weights of layers[*] by magnitude to 80% zeros over tune(train, epochs: 4)
    /// sparsify weights of layers[*].mlp to 1:8 over tune(train, epochs: 4) with { flow: mask_decay(exponential, 8e-4) }
    /// ```
    ///
    /// Wanda's magnitude baseline, arXiv:2306.11695; N:M, arXiv:2104.08378; `global` with its floor, arXiv:2209.14624;
    /// `group` with `lamp`, arXiv:2404.13648.
    Sparsify = "sparsify" ["weights"]
    {
        /// How weights are scored.
        By criterion: Scorer = "magnitude",
        /// What becomes zero.
        To amount: Amount,
        /// A training run over which the zeros come, in place of all at once: every tensor is trained.
        Over tuning: Option<Tuning>,
    }
    with {
        /// Which weights compete for a share of zeros; where nothing is said `row` for `wanda`, else `tensor`. A pattern competes
        /// within its groups.
        scope: Option<Scope>,
        /// What each matrix keeps at least where several compete, as a share of all of their weights, so that no layer
        /// collapses; 0.05% is the published choice.
        floor: Option<Ratio>,
        /// The edge of square blocks that become zero as one, where a share is asked for.
        block: Option<Count>,
        /// How zeros come `over` a training; where nothing is said `gradual` for a share, `sr_ste` for a pattern.
        flow: Option<Flow>,
    }
}

impl Pass for Sparsify {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        self.criterion.elements()?;
        let sites = step.sites();
        refuse_factored(step, &sites)?;
        let scores = Scores::new(Arc::clone(&self.criterion.criterion));
        let (mut work, how) = match self.amount {
            Amount::Pattern(pattern) => (Vec::new(), self.pattern(step, pattern)?),
            Amount::Zeros(share) => self.share(step, &sites, &scores, share)?,
        };
        let misfit = |wrong: Diagnostic| at_clause(step, ClauseKind::To, wrong);
        refuse_misfits(step.graph, &sites, how.fit()).map_err(misfit)?;
        let notes = self.notes(step);
        let rewrite = MaskWeights { scores, how, sites };
        if let Some(lowering) = self.reconstructed(step, &rewrite)? {
            return Ok(Lowering { notes, ..lowering });
        }
        let asked = Asked { graph: step.graph, sites: &rewrite.sites, mask: rewrite.masking() };
        work.splice(..0, self.criterion.criterion.observe(&asked));
        let training = self.training(step)?;
        let stages = training.into_iter().chain([Stage { work, rewrite: Arc::new(rewrite) }]).collect();
        Ok(Lowering { stages, bound: None, notes })
    }
}

impl Sparsify {
    /// The lowering to weights that are made anew, where the criterion makes them.
    fn reconstructed(
        &self,
        step: &StepScope<'_>,
        like: &MaskWeights,
    ) -> Result<Option<Lowering>, Diagnostic> {
        let zeroing = match self.amount {
            Amount::Pattern(pattern) => Zeroing::Pattern(pattern),
            Amount::Zeros(share) => Zeroing::Share(share),
        };
        let asked = Reconstructing { graph: step.graph, sites: &like.sites, zeroing };
        let Some(work) = self.criterion.criterion.reconstruct(&asked) else { return Ok(None) };
        self.refuse_observed(step)?;
        if self.scope.is_some() || self.floor.is_some() || self.block.is_some() {
            let message =
                format!("`{}` chooses its zeros itself, in blocks of inputs", self.criterion.spec.name);
            return Err(step.at(ClauseKind::With, &codes::CONFLICTING_CLAUSES, message));
        }
        let rewrite = Arc::new(ReplaceWeights { like: like.clone() });
        Ok(Some(Lowering { stages: vec![Stage { work: vec![work], rewrite }], ..Lowering::default() }))
    }

    fn pattern(&self, step: &StepScope<'_>, pattern: Pattern) -> Result<How, Diagnostic> {
        let options = [
            ("scope", self.scope.is_some()),
            ("floor", self.floor.is_some()),
            ("block", self.block.is_some()),
        ];
        match options.into_iter().find(|(_, given)| *given) {
            None => Ok(How::Pattern(pattern)),
            Some((option, _)) => {
                let message =
                    format!("`{option}` is for a share of zeros; a pattern competes within its groups");
                Err(step.at(ClauseKind::With, &codes::CONFLICTING_CLAUSES, message))
            }
        }
    }

    fn share(
        &self,
        step: &StepScope<'_>,
        sites: &[String],
        scores: &Scores,
        share: f64,
    ) -> Result<(Vec<Arc<dyn Work>>, How), Diagnostic> {
        let by_row = self.criterion.elements()?.compares_rows();
        let scope = self.scope.unwrap_or(if by_row { Scope::Row } else { Scope::Tensor });
        let size = self.block.map_or(1, |Count(size)| size);
        if self.floor.is_some() && !matches!(scope, Scope::Global | Scope::Group) {
            let message = "`floor` is for weights that compete with those of other matrices";
            return Err(step
                .at(ClauseKind::With, &codes::CONFLICTING_CLAUSES, message)
                .help("say `scope: global` or `scope: group` as well"));
        }
        let pools = match scope {
            Scope::Row => return Ok((Vec::new(), How::Rows { size, share })),
            Scope::Tensor => sites.iter().map(|path| vec![path.clone()]).collect(),
            Scope::Group => pools::by_kind(sites),
            Scope::Global => vec![sites.to_vec()],
        };
        let alone = pools.iter().all(|pool| pool.len() == 1);
        let floor = self.floor.map(|Ratio(floor)| floor);
        let work = SelectWeights { scores: scores.clone(), share, size, floor, pools };
        let share = (alone && floor.is_none()).then_some(share);
        Ok((vec![Arc::new(work)], How::Cuts { size, share }))
    }

    fn notes(&self, step: &StepScope<'_>) -> Vec<Diagnostic> {
        let extreme = match self.amount {
            Amount::Zeros(0.0) => Some((&codes::NO_EFFECT, "no weight becomes zero")),
            Amount::Zeros(1.0) => Some((&codes::LAYER_COLLAPSE, "every weight becomes zero")),
            _ => None,
        };
        let extreme = extreme.map(|(code, message)| step.at(ClauseKind::To, code, message));
        extreme.into_iter().chain(tied(step)).collect()
    }
}

/// Says which places that were not selected read a selected tensor too: an embedding whose head is tied to it.
fn tied(step: &StepScope<'_>) -> Option<Diagnostic> {
    let (graph, places, sites) = (step.graph, step.graph.places(), step.sites());
    let selected: Vec<_> = sites.iter().filter_map(|path| places.site(path)).collect();
    let whole = |id| graph.sites[id].views().filter(|view| view.fixed.is_empty()).map(|view| view.param);
    let mut others = graph.sites.ids().filter(|id| !selected.contains(id));
    let params: Vec<_> = selected.iter().flat_map(|&id| whole(id)).collect();
    let other = others.find(|&id| whole(id).any(|param| params.contains(&param)))?;
    let param = whole(other).find(|param| params.contains(param))?;
    let (tensor, other) = (graph.params[param].name.resolve(), graph.tree.path(graph.sites[other].node));
    let message = format!("`{tensor}` is one tensor: `{other}` gets the same zeros");
    Some(step.at(ClauseKind::Of, &codes::SHARED_TENSOR, message))
}

/// Zeros in factors would not be zeros in the weight.
fn refuse_factored(step: &StepScope<'_>, sites: &[String]) -> Result<(), Diagnostic> {
    let places = step.graph.places();
    let is_factored = |path: &&String| {
        let site = places.site(path).expect("targets are resolved in this graph");
        matches!(step.graph.sites[site].weight, Weight::Factored { .. })
    };
    match sites.iter().find(is_factored) {
        None => Ok(()),
        Some(path) => {
            let message = format!("`{path}` is factored: there is no one matrix to be zeroed in");
            Err(step.at(ClauseKind::Of, &codes::FACTORED, message).help("leave it out with `except`"))
        }
    }
}

/// Gives a diagnostic its place.
fn at_clause(step: &StepScope<'_>, clause: ClauseKind, wrong: Diagnostic) -> Diagnostic {
    let place = step.at(clause, wrong.code, wrong.message.clone()).place;
    Diagnostic { place, ..wrong }
}
