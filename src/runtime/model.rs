//! A model at work, block by block: one block's weights at a time, all batches through it, then the next.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;
use super::interpret::{Running, TurnsOf, Value, Values};
use super::rows::Batch;
use super::watch::{Gates, Watch};
use super::weights::Loaded;
use crate::graph::{Graph, NodeId, OpId, SiteId};
use crate::weights::Version;

/// Operations that run together: what stands before the first layer, each layer, what stands behind the last.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    pub ops: Vec<OpId>,
    /// The sites that they read.
    pub sites: Vec<SiteId>,
    /// The number of the layer, of those that are one.
    pub block: Option<usize>,
    /// Values that were made before and are needed by later segments no more.
    dies: Vec<OpId>,
}

/// A version of a model, ready to run.
pub struct Model<'a> {
    pub version: &'a Version,
    pub segments: Vec<Segment>,
    turns: TurnsOf,
}

/// What may be done to a block before its successor sees it: pruned, refitted.
pub trait Edit {
    /// Called when all batches went through a layer. Whether weights were changed, so that the layer runs again.
    ///
    /// # Errors
    /// Where the layer cannot be edited.
    fn edit(&mut self, segment: &Segment, weights: &mut Loaded) -> Result<bool, Failure>;
}

impl<'a> Model<'a> {
    pub fn new(version: &'a Version) -> Self {
        Self { version, segments: segments(&version.graph), turns: TurnsOf::default() }
    }

    fn graph(&self) -> &Graph {
        &self.version.graph
    }

    /// Runs all batches through the model, a segment at a time.
    ///
    /// # Errors
    /// Where weights cannot be read, or an input does not fit the model.
    pub fn run(&self, batches: &[Batch], watch: &mut dyn Watch) -> Result<(), Failure> {
        let mut flowing: Vec<Values> = batches.iter().map(|_| Values::new()).collect();
        for segment in &self.segments {
            let weights = Loaded::read(self.version, &segment.sites)?;
            self.pass(segment, &weights, batches, &Gates::default(), watch, &mut flowing)?;
        }
        Ok(())
    }

    /// The same with layers edited on the way: each is watched as it is, edited, and run again before the next one is.
    ///
    /// # Errors
    /// As [`Model::run`], and what the editor refuses.
    pub fn edit(
        &self,
        batches: &[Batch],
        watch: &mut dyn EditingWatch,
        last_edited: Option<usize>,
    ) -> Result<(), Failure> {
        let end = last_edited.map_or(self.segments.len(), |block| {
            self.segments.iter().position(|segment| segment.block == Some(block)).map_or(0, |at| at + 1)
        });
        let mut walk = self.walk(batches);
        while walk.at < end {
            let segment = &self.segments[walk.at];
            let mut weights = walk.weights()?;
            let after = walk.look(&weights, watch.as_watch())?;
            match segment.block.is_some() && watch.edit(segment, &mut weights)? {
                true => walk.advance(&weights)?,
                false => walk.go(after),
            }
        }
        Ok(())
    }

    /// A way through the model, segment by segment.
    pub fn walk<'m>(&'m self, batches: &'m [Batch]) -> Walk<'m> {
        Walk { model: self, batches, flowing: batches.iter().map(|_| Values::new()).collect(), at: 0 }
    }

    /// All batches through one segment.
    fn pass(
        &self,
        segment: &Segment,
        weights: &Loaded,
        batches: &[Batch],
        gates: &Gates,
        watch: &mut dyn Watch,
        flowing: &mut [Values],
    ) -> Result<(), Failure> {
        for (batch, values) in batches.iter().zip(flowing) {
            let running = Running { graph: self.graph(), weights, batch, gates, turns: &self.turns };
            running.run(&segment.ops, values, watch)?;
            if let Some(number) = segment.block {
                let block = &self.graph().blocks[number];
                if let (Some(before), Some(after)) = (values.get(&block.input), values.get(&block.output)) {
                    watch.block(number, before, after)?;
                }
            }
            segment.dies.iter().for_each(|dead| drop(values.remove(dead)));
        }
        Ok(())
    }

    /// The last layer that has one of these sites: what lies behind it need not run.
    pub fn last_block(&self, sites: &[SiteId]) -> Option<usize> {
        let has = |segment: &&Segment| segment.sites.iter().any(|site| sites.contains(site));
        let last = self.segments.iter().rev().find(has)?;
        // A site in front of all layers, or behind them, needs its own segment: all of them run.
        last.block
    }

    /// All weights at once, for passes that go through the whole model again and again.
    ///
    /// # Errors
    /// Where weights cannot be read.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let sites: Vec<SiteId> = self.segments.iter().flat_map(|segment| segment.sites.clone()).collect();
        Loaded::read(self.version, &sites)
    }

    /// Some operations in their order for one batch, from values that are there; what they make takes the place of what was.
    ///
    /// # Errors
    /// Where an input does not fit the model.
    pub fn again(
        &self,
        ops: &[OpId],
        weights: &Loaded,
        batch: &Batch,
        gates: &Gates,
        values: &mut Values,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        Running { graph: self.graph(), weights, batch, gates, turns: &self.turns }.run(ops, values, watch)
    }

    /// One batch through the whole model, with weights that are there and gates on axes.
    ///
    /// # Errors
    /// Where an input does not fit the model.
    pub fn forward(
        &self,
        weights: &Loaded,
        batch: &Batch,
        gates: &Gates,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        let mut flowing = [Values::new()];
        for segment in &self.segments {
            self.pass(segment, weights, std::slice::from_ref(batch), gates, watch, &mut flowing)?;
        }
        Ok(())
    }
}

/// A model on its way, with the values of all batches in front of a segment. A segment can be looked at again and again, with
/// other weights, before the way goes on.
pub struct Walk<'m> {
    model: &'m Model<'m>,
    batches: &'m [Batch],
    flowing: Vec<Values>,
    at: usize,
}

impl<'m> Walk<'m> {
    /// The segment that comes next; none at the end.
    pub fn segment(&self) -> Option<&'m Segment> {
        self.model.segments.get(self.at)
    }

    /// The weights of the next segment.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn weights(&self) -> Result<Loaded, Failure> {
        Loaded::read(self.model.version, &self.model.segments[self.at].sites)
    }

    /// The value of an operation of an earlier segment, of a batch.
    pub fn value(&self, batch: usize, op: OpId) -> Option<&Value> {
        self.flowing[batch].get(&op)
    }

    /// What the next segment makes of the values, without going on.
    ///
    /// # Errors
    /// Where an input does not fit the model.
    pub fn look(&self, weights: &Loaded, watch: &mut dyn Watch) -> Result<Vec<Values>, Failure> {
        let mut flowing = self.flowing.clone();
        let segment = &self.model.segments[self.at];
        self.model.pass(segment, weights, self.batches, &Gates::default(), watch, &mut flowing)?;
        Ok(flowing)
    }

    /// Goes on with these values.
    pub fn go(&mut self, flowing: Vec<Values>) {
        self.flowing = flowing;
        self.at += 1;
    }

    /// Goes through the next segment with these weights.
    ///
    /// # Errors
    /// Where an input does not fit the model.
    pub fn advance(&mut self, weights: &Loaded) -> Result<(), Failure> {
        let after = self.look(weights, &mut super::watch::Blind)?;
        self.go(after);
        Ok(())
    }
}

/// Looks on and edits.
pub trait EditingWatch: Watch + Edit {
    fn as_watch(&mut self) -> &mut dyn Watch;
}

impl<T: Watch + Edit> EditingWatch for T {
    fn as_watch(&mut self) -> &mut dyn Watch {
        self
    }
}

/// Cuts a graph's operations at its layers.
fn segments(graph: &Graph) -> Vec<Segment> {
    let schedule = graph.schedule();
    let behind = graph.blocks.len() + 1;
    let block_of_node: BTreeMap<NodeId, usize> = graph
        .blocks
        .iter()
        .enumerate()
        .flat_map(|(number, block)| graph.tree.below(block.node).into_iter().map(move |node| (node, number)))
        .collect();
    let mut place: BTreeMap<OpId, usize> = BTreeMap::new();
    for &op in &schedule {
        let latest = graph.operands(op).iter().map(|operand| place[operand]).max().unwrap_or(0);
        let own = block_of_node.get(&graph.ops[op].node).map(|block| block + 1);
        // What reads the last layer and is not part of it stands behind.
        let is_behind = own.is_none() && latest == graph.blocks.len() && latest > 0;
        place.insert(op, own.unwrap_or(if is_behind { behind } else { latest }));
    }
    let mut segments = vec![Segment::default(); behind + 1];
    for &op in &schedule {
        let segment = &mut segments[place[&op]];
        segment.ops.push(op);
        segment.sites.extend(graph.ops[op].op.sites());
    }
    let mut last_use: BTreeMap<OpId, usize> = place.clone();
    for &op in &schedule {
        for operand in graph.operands(op) {
            let last = last_use.get_mut(&operand).expect("operands come first");
            *last = (*last).max(place[&op]);
        }
    }
    for (at, segment) in segments.iter_mut().enumerate() {
        segment.block = (1..=graph.blocks.len()).contains(&at).then(|| at - 1);
        segment.dies = last_use.iter().filter(|(_, last)| **last == at).map(|(&op, _)| op).collect();
        let unique: BTreeSet<SiteId> = segment.sites.drain(..).collect();
        segment.sites = unique.into_iter().collect();
    }
    segments
}
