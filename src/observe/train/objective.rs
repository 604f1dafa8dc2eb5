//! What is minimized: the loss on labels, and how far the model is from its teacher in what both answer and in what stands inside.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Tensor, Var};
use serde_json::json;

use super::balance::balance;
use super::student::{Student, Trained};
use super::teacher::Teacher;
use crate::choice;
use crate::graph::{Experts, Graph, Op, OpId};
use crate::observe::gradients::no_logits;
use crate::observe::outputs::classes_of;
use crate::pass::{Data, Regimen, Told, is_causal};
use crate::runtime::op::{Host, Related, cross_entropy, divergence, linear, relation, tensor};
use crate::runtime::{Batch, Failure, Routed, Value, Watch};
use crate::tensor::random::Stream;

choice! {
    /// Which layers of student and teacher are held beside each other.
    pub enum Layers("a choice of layers") {
        /// Each of the student's, beside the teacher's at the same share of its depth.
        All = "all",
        /// The last of both.
        Last = "last",
    }
}

/// The terms of a loss, each with what it counts; 0 leaves it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Cross entropy: of a language model with the next token.
    pub labels: f64,
    /// The probability that goes to all classes alike.
    pub smoothing: f64,
    /// `T^2 KL(teacher || student)` of the predictions, softened by the temperature T (Hinton et al., arXiv:1503.02531).
    pub logits: f64,
    pub temperature: f64,
    /// The mean squared difference of the layers' outputs, the student's through a learned map where widths differ (FitNets,
    /// arXiv:1412.6550).
    pub hidden: f64,
    /// `KL(teacher || student)` of who attends to whom, as queries and keys say before positions turn them (MiniLM, arXiv:2002.10957).
    pub attention: f64,
    /// The same of queries and queries, keys and keys, values and values (MiniLMv2, arXiv:2012.15828): their mean.
    pub relations: f64,
    /// How unevenly routers load their experts: the mean over layers.
    pub balance: f64,
    pub layers: Layers,
}

impl Terms {
    /// The loss on labels alone.
    pub fn of_labels(smoothing: f64) -> Self {
        Self {
            labels: 1.0,
            smoothing,
            logits: 0.0,
            temperature: 1.0,
            hidden: 0.0,
            attention: 0.0,
            relations: 0.0,
            balance: 0.0,
            layers: Layers::All,
        }
    }

    /// Whether something is learned from another model.
    pub fn needs_teacher(&self) -> bool {
        self.logits + self.inside() > 0.0
    }

    /// What the terms of states inside of the models count together.
    pub fn inside(&self) -> f64 {
        self.hidden + self.attention + self.relations
    }

    pub fn arguments(&self) -> serde_json::Value {
        json!({
            "labels": self.labels,
            "smoothing": self.smoothing,
            "logits": self.logits,
            "temperature": self.temperature,
            "hidden": self.hidden,
            "attention": self.attention,
            "relations": self.relations,
            "balance": self.balance,
            "layers": self.layers.told(),
        })
    }
}

/// A layer of the student and the one of the teacher that it is held beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    student: usize,
    teacher: usize,
}

/// Layer i of n beside layer `round((i + 1) m / n) - 1` of m: the last beside the last.
fn pairs(student: usize, teacher: usize, layers: Layers) -> Vec<Pair> {
    let beside = |at: usize| {
        let place = ((at + 1) as f64 * teacher as f64 / student as f64).round() as usize;
        Pair { student: at, teacher: place.saturating_sub(1) }
    };
    let first = match layers {
        Layers::All => 0,
        Layers::Last => student.saturating_sub(1),
    };
    if teacher == 0 { Vec::new() } else { (first..student).map(beside).collect() }
}

/// The loss of a model on a batch.
pub struct Objective<'a> {
    terms: &'a Terms,
    data: &'a Data,
    causal: bool,
    /// What of the model is looked at.
    looks: Looks,
    sides: Vec<Side<'a>>,
}

/// A teacher beside the model.
struct Side<'a> {
    teacher: &'a Teacher<'a>,
    pairs: Vec<Pair>,
    /// What of it is looked at.
    looks: Looks,
    /// For each pair of layers of different widths a map from the student's states to the teacher's. They are trained with it, and
    /// forgotten.
    maps: BTreeMap<usize, Trained>,
}

impl<'a> Objective<'a> {
    pub fn new(terms: &'a Terms, regimen: &'a Regimen, graph: &Graph, teachers: &'a [Teacher<'a>]) -> Self {
        let relates = terms.attention + terms.relations > 0.0;
        let side = |(number, teacher): (usize, &'a Teacher<'a>)| {
            let depth = if terms.inside() > 0.0 { teacher.graph().blocks.len() } else { 0 };
            let pairs = pairs(graph.blocks.len(), depth, terms.layers);
            let blocks: Vec<usize> = pairs.iter().map(|pair| pair.teacher).collect();
            let looks = Looks::new(teacher.graph(), &blocks, relates);
            let maps = match terms.hidden > 0.0 {
                true => maps(graph, teacher.graph(), &pairs, regimen, number),
                false => BTreeMap::new(),
            };
            Side { teacher, pairs, looks, maps }
        };
        let sides: Vec<Side<'a>> = teachers.iter().enumerate().map(side).collect();
        let mut blocks: Vec<usize> =
            sides.iter().flat_map(|side| side.pairs.iter().map(|pair| pair.student)).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let looks = Looks { loads: terms.balance > 0.0, ..Looks::new(graph, &blocks, relates) };
        Self { terms, data: &regimen.data, causal: is_causal(graph), looks, sides }
    }

    /// Variables that are no weights of the model.
    pub fn maps(&self) -> impl Iterator<Item = &Trained> {
        self.sides.iter().flat_map(|side| side.maps.values())
    }

    pub fn maps_mut(&mut self) -> impl Iterator<Item = &mut Trained> {
        self.sides.iter_mut().flat_map(|side| side.maps.values_mut())
    }

    /// What a batch counts beside others of its step: samples, and tokens of a language model.
    pub fn weight(&self, batch: &Batch) -> usize {
        if self.causal { batch.rows() } else { batch.samples() }
    }

    /// The loss on a batch, a scalar: each term is a mean over what it compares.
    ///
    /// # Errors
    /// Where the model gives no logits, or samples have no labels.
    pub fn loss(&self, student: &Student<'_>, batch: &Batch) -> Result<Tensor, Failure> {
        let mut ours = Seen::of(&self.looks);
        student.answer(batch, &mut ours)?;
        let mut sum = Sum(None);
        if self.terms.labels > 0.0 {
            sum.add(self.terms.labels, self.of_labels(batch, &ours)?)?;
        }
        for load in &ours.loads {
            sum.add(self.terms.balance / ours.loads.len() as f64, load.clone())?;
        }
        for side in &self.sides {
            self.beside(side, batch, &ours, 1.0 / self.sides.len() as f64, &mut sum)?;
        }
        Ok(sum.0.expect("a loss has a term"))
    }

    /// Adds a teacher's terms.
    fn beside(
        &self,
        side: &Side<'_>,
        batch: &Batch,
        ours: &Seen<'_>,
        share: f64,
        sum: &mut Sum,
    ) -> Result<(), Failure> {
        let mut theirs = Seen::of(&side.looks);
        side.teacher.answer(batch, &mut theirs)?;
        if self.terms.logits > 0.0 {
            sum.add(self.terms.logits * share, self.of_logits(ours, &theirs)?)?;
        }
        let share = share / side.pairs.len().max(1) as f64;
        for pair in &side.pairs {
            if self.terms.hidden > 0.0 {
                let map = side.maps.get(&pair.student);
                sum.add(self.terms.hidden * share, of_hidden(pair, map, ours, &theirs)?)?;
            }
            if self.terms.attention > 0.0 {
                sum.add(self.terms.attention * share, self.related(pair, ours, &theirs, [0, 1])?)?;
            }
            if self.terms.relations > 0.0 {
                for part in 0..3 {
                    let related = self.related(pair, ours, &theirs, [part, part])?;
                    sum.add(self.terms.relations * share / 3.0, related)?;
                }
            }
        }
        Ok(())
    }

    fn of_labels(&self, batch: &Batch, ours: &Seen<'_>) -> Result<Tensor, Failure> {
        let logits = ours.logits.as_ref().ok_or_else(|| no_logits(self.data))?;
        let classes = classes_of(batch, logits, self.data, self.causal)?;
        let count = classes.iter().flatten().count().max(1);
        let losses = cross_entropy(&logits.tensor, Arc::new(classes), self.terms.smoothing as f32)?;
        Ok((losses.sum_all()? / count as f64)?)
    }

    fn of_logits(&self, ours: &Seen<'_>, theirs: &Seen<'_>) -> Result<Tensor, Failure> {
        let none = || no_logits(self.data);
        let (ours, theirs) =
            (ours.logits.as_ref().ok_or_else(none)?, theirs.logits.as_ref().ok_or_else(none)?);
        let temperature = self.terms.temperature;
        let losses = divergence(&ours.tensor, host(&theirs.tensor)?, temperature)?;
        Ok((losses.mean_all()? * (temperature * temperature))?)
    }

    fn related(
        &self,
        pair: &Pair,
        ours: &Seen<'_>,
        theirs: &Seen<'_>,
        parts: [usize; 2],
    ) -> Result<Tensor, Failure> {
        let (ours, theirs) = (&ours.attended[&pair.student], &theirs.attended[&pair.teacher]);
        let [left, right] = parts.map(|part| &ours[part]);
        let width = |value: &Value| -> Result<usize, Failure> { Ok(value.tensor.dims2()?.1) };
        let of_teacher = Related {
            left: host(&theirs[parts[0]].tensor)?,
            right: host(&theirs[parts[1]].tensor)?,
            width: width(&theirs[parts[0]])?,
        };
        let heads = common_heads(width(left)?, of_teacher.width);
        let sequences: Arc<Vec<Range<usize>>> = Arc::new(left.rows.ranges());
        let losses = relation(&left.tensor, &right.tensor, of_teacher, &sequences, heads, self.causal)?;
        Ok(losses.mean_all()?)
    }
}

/// A sum of terms, each times a factor.
struct Sum(Option<Tensor>);

impl Sum {
    fn add(&mut self, factor: f64, term: Tensor) -> Result<(), Failure> {
        let term = (term * factor)?;
        self.0 = Some(match self.0.take() {
            Some(sum) => (sum + term)?,
            None => term,
        });
        Ok(())
    }
}

fn of_hidden(
    pair: &Pair,
    map: Option<&Trained>,
    ours: &Seen<'_>,
    theirs: &Seen<'_>,
) -> Result<Tensor, Failure> {
    let (ours, theirs) = (&ours.blocks[&pair.student].tensor, &theirs.blocks[&pair.teacher].tensor);
    let ours = match map {
        Some(map) => linear(ours, &map.tensor, None)?,
        None => ours.clone(),
    };
    Ok((ours - theirs)?.sqr()?.mean_all()?)
}

/// Maps for layers whose widths differ, from numbers that the seed chooses, of variance `1 / width`.
fn maps(
    student: &Graph,
    teacher: &Graph,
    pairs: &[Pair],
    regimen: &Regimen,
    number: usize,
) -> BTreeMap<usize, Trained> {
    let width = |graph: &Graph, block: usize| {
        let output = graph.blocks[block].output;
        graph.ops[output].value.last().map_or(0, |dim| graph.dim_extent(dim))
    };
    let map = |pair: &Pair| {
        let (ours, theirs) = (width(student, pair.student), width(teacher, pair.teacher));
        if ours == theirs {
            return None;
        }
        let name = format!("map of layer {} to teacher {number}", pair.student);
        let stream = Stream::new(regimen.seed, &name);
        let scale = 1.0 / (ours as f64).sqrt();
        let values = (0..ours * theirs).map(|at| (stream.normal(at as u64) * scale) as f32).collect();
        let map = tensor(values, (theirs, ours)).and_then(|map| Var::from_tensor(&map));
        let map = map.expect("as many numbers as the shape has").into_inner();
        Some((pair.student, Trained::free(map, name, true, &regimen.optimizer.descent())))
    };
    pairs.iter().filter_map(map).collect()
}

/// Relation heads: the most, up to 16, that both widths are multiples of.
fn common_heads(student: usize, teacher: usize) -> usize {
    let fits = |heads: &usize| student.is_multiple_of(*heads) && teacher.is_multiple_of(*heads);
    (1..=16).rev().find(fits).unwrap_or(1)
}

fn host(values: &Tensor) -> Result<Arc<Vec<f32>>, Failure> {
    let values = values.contiguous()?;
    Ok(Arc::new(Host::of(&values)?.values().to_vec()))
}

/// What of a model is looked at while it runs.
#[derive(Debug, Clone, Default)]
struct Looks {
    blocks: Vec<usize>,
    /// Operations whose results are queries, keys and values: the layer of each, and which it is.
    attended: BTreeMap<OpId, Vec<(usize, usize)>>,
    /// Whether it is looked at how even the load of experts is.
    loads: bool,
}

impl Looks {
    fn new(graph: &Graph, blocks: &[usize], relates: bool) -> Self {
        let mut attended: BTreeMap<OpId, Vec<(usize, usize)>> = BTreeMap::new();
        for &block in blocks.iter().filter(|_| relates) {
            let node = graph.blocks[block].node;
            let is_here = |op: &OpId| {
                matches!(graph.ops[*op].op, Op::Attention(_))
                    && graph.tree.above(graph.ops[*op].node).any(|above| above == node)
            };
            for op in graph.ops.node_indices().filter(is_here) {
                for (part, operand) in graph.operands(op).into_iter().enumerate() {
                    attended.entry(operand).or_default().push((block, part));
                }
            }
        }
        Self { blocks: blocks.to_vec(), attended, loads: false }
    }
}

/// What was seen of a model at work.
struct Seen<'a> {
    looks: &'a Looks,
    logits: Option<Value>,
    blocks: BTreeMap<usize, Value>,
    /// Queries, keys and values of a layer.
    attended: BTreeMap<usize, Vec<Value>>,
    /// Of each layer with a router, how uneven its load is.
    loads: Vec<Tensor>,
}

impl<'a> Seen<'a> {
    fn of(looks: &'a Looks) -> Self {
        let (blocks, attended) = (BTreeMap::new(), BTreeMap::new());
        Self { looks, logits: None, blocks, attended, loads: Vec::new() }
    }
}

impl Watch for Seen<'_> {
    fn made(&mut self, op: OpId, value: &Value) -> Result<(), Failure> {
        for &(block, part) in self.looks.attended.get(&op).into_iter().flatten() {
            let parts = self.attended.entry(block).or_insert_with(|| vec![value.clone(); 3]);
            parts[part] = value.clone();
        }
        Ok(())
    }

    fn routed(&mut self, of: &Experts, routed: &Routed<'_>) -> Result<(), Failure> {
        if self.looks.loads {
            let routes = routed.shares.dims2()?.1;
            let first_null = if of.nulls.is_some() { of.experts.len() } else { routes };
            self.loads.push(balance(routed.shares, routed.routes, first_null)?);
        }
        Ok(())
    }

    fn block(&mut self, number: usize, _: &Value, after: &Value) -> Result<(), Failure> {
        if self.looks.blocks.contains(&number) {
            self.blocks.insert(number, after.clone());
        }
        Ok(())
    }

    fn output(&mut self, name: &str, value: &Value, _: &Batch) -> Result<(), Failure> {
        if name == "logits" {
            self.logits = Some(value.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_beside_those_at_the_same_depth() {
        let of = |student, teacher, layers| -> Vec<usize> {
            pairs(student, teacher, layers).iter().map(|pair| pair.teacher).collect()
        };
        assert_eq!(of(6, 12, Layers::All), [1, 3, 5, 7, 9, 11]);
        assert_eq!(of(3, 3, Layers::All), [0, 1, 2]);
        assert_eq!(of(4, 6, Layers::All), [1, 2, 4, 5]);
        assert_eq!(of(4, 6, Layers::Last), [5]);
        assert!(of(4, 0, Layers::All).is_empty());
    }

    #[test]
    fn relation_heads_divide_both_widths() {
        assert_eq!(common_heads(224, 384), 16);
        assert_eq!(common_heads(66, 384), 6);
        assert_eq!(common_heads(7, 384), 1);
    }
}
