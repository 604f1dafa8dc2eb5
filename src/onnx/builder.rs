//! A graph of ONNX in the making: nodes in the order in which they run, constants each once, weights each once.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{self, Attribute, Node, Tensor, ValueInfo, element};
use super::weight::{Form, WeightKey, Weights};
use crate::graph::{Graph, View};

/// The name of a value.
pub type Name = String;

/// The end of a slice that goes to the end.
pub const END: i64 = i64::MAX;

/// Makes nodes. Operands come by name, and so do results.
#[derive(Debug)]
pub struct Builder<'a> {
    pub graph: &'a Graph,
    /// The nodes of the graph, and of the graphs inside that are open.
    scopes: Vec<Vec<Node>>,
    /// By type, dims and bytes, so that each is there once.
    constants: BTreeMap<(i32, Vec<i64>, Vec<u8>), Name>,
    constant_order: Vec<Tensor>,
    pub weights: Weights,
    /// How many values have a name, so that each is another one.
    taken: BTreeMap<String, usize>,
    /// What is made at the graph's top and asked for again.
    made: BTreeMap<String, Name>,
    /// The place in the model's tree that nodes are named after.
    pub place: String,
}

impl<'a> Builder<'a> {
    pub fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            scopes: vec![Vec::new()],
            constants: BTreeMap::new(),
            constant_order: Vec::new(),
            weights: Weights::default(),
            taken: BTreeMap::new(),
            made: BTreeMap::new(),
            place: String::new(),
        }
    }

    /// A node with one result.
    pub fn op(&mut self, kind: &str, inputs: &[&str]) -> Name {
        self.op_with(kind, inputs, Vec::new())
    }

    /// A node with attributes and one result.
    pub fn op_with(&mut self, kind: &str, inputs: &[&str], attributes: Vec<Attribute>) -> Name {
        let [result] = self.op_of(kind, inputs, attributes);
        result
    }

    /// A node with as many results as are asked for.
    pub fn op_of<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attribute: Vec<Attribute>,
    ) -> [Name; N] {
        let name = self.name(kind);
        let output: [Name; N] = std::array::from_fn(|at| match at {
            0 => name.clone(),
            _ => format!("{name}.{at}"),
        });
        let input = inputs.iter().map(|&input| input.to_owned()).collect();
        self.node(Node { input, output: output.to_vec(), name, op_type: kind.into(), attribute });
        output
    }

    /// A node whose result has a given name: a result of the model.
    pub fn give(&mut self, value: &str, name: &str) {
        let node = Node {
            input: vec![value.into()],
            output: vec![name.into()],
            name: self.name("Identity"),
            op_type: "Identity".into(),
            attribute: Vec::new(),
        };
        self.node(node);
    }

    fn node(&mut self, node: Node) {
        self.scopes.last_mut().expect("the graph itself is open").push(node);
    }

    /// `layers[3].attention.query/MatMul`, with a number where there are several.
    pub fn name(&mut self, kind: &str) -> Name {
        let name = if self.place.is_empty() { kind.to_owned() } else { format!("{}/{kind}", self.place) };
        let count = self.taken.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name}.{count}") }
    }

    /// Begins a graph inside of a node: nodes are its own until it is [closed](Self::close).
    pub fn open(&mut self) {
        self.scopes.push(Vec::new());
    }

    /// Ends the graph that was opened last, which takes and gives these values.
    pub fn close(&mut self, name: &str, input: Vec<ValueInfo>, given: &[Name]) -> proto::Graph {
        let node = self.scopes.pop().expect("it was opened");
        let output = given.iter().map(|name| ValueInfo::inner(name)).collect();
        proto::Graph { node, name: name.into(), initializer: Vec::new(), input, output }
    }

    /// What was made under a key at the graph's top; made now where it was not.
    pub fn once(&mut self, key: String, make: impl FnOnce(&mut Self) -> Name) -> Name {
        debug_assert_eq!(self.scopes.len(), 1, "what is made inside of a node is not seen outside");
        if let Some(name) = self.made.get(&key) {
            return name.clone();
        }
        let name = make(self);
        self.made.insert(key, name.clone());
        name
    }

    fn constant(&mut self, data_type: i32, dims: &[usize], bytes: Vec<u8>) -> Name {
        let dims: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        let next = format!("constant.{}", self.constants.len());
        let order = &mut self.constant_order;
        let named = self.constants.entry((data_type, dims.clone(), bytes.clone())).or_insert_with(|| {
            let (name, raw_data) = (next.clone(), Some(bytes));
            order.push(Tensor { dims, data_type, name, raw_data, ..Tensor::default() });
            next
        });
        named.clone()
    }

    /// A list of whole numbers: a shape, places, axes.
    pub fn ints(&mut self, values: &[i64]) -> Name {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(element::INT64, &[values.len()], bytes)
    }

    pub fn int(&mut self, value: i64) -> Name {
        self.constant(element::INT64, &[], value.to_le_bytes().into())
    }

    pub fn float(&mut self, value: f32) -> Name {
        self.constant(element::FLOAT, &[], value.to_le_bytes().into())
    }

    pub fn double(&mut self, value: f64) -> Name {
        self.constant(element::DOUBLE, &[], value.to_le_bytes().into())
    }

    pub fn bool(&mut self, value: bool) -> Name {
        self.constant(element::BOOL, &[], vec![value.into()])
    }

    pub fn floats(&mut self, values: &[f32], dims: &[usize]) -> Name {
        self.constant(element::FLOAT, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub fn doubles(&mut self, values: &[f64]) -> Name {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(element::DOUBLE, &[values.len()], bytes)
    }

    /// A part of a tensor, as an operation reads it.
    pub fn weight(&mut self, view: &View, form: Form) -> Name {
        self.weights.name(self.graph, WeightKey { view: view.clone(), form })
    }

    /// Rows `from` up to `to` of an axis.
    pub fn slice(&mut self, x: &str, axis: i64, from: &str, to: &str) -> Name {
        let axes = self.ints(&[axis]);
        self.op("Slice", &[x, from, to, &axes])
    }

    /// Another shape: 0 is the dim that was there, -1 what is left.
    pub fn reshape(&mut self, x: &str, shape: &[i64]) -> Name {
        let shape = self.ints(shape);
        self.op("Reshape", &[x, &shape])
    }

    pub fn transpose(&mut self, x: &str, order: &[i64]) -> Name {
        self.op_with("Transpose", &[x], vec![Attribute::ints("perm", order)])
    }

    pub fn unsqueeze(&mut self, x: &str, axes: &[i64]) -> Name {
        let axes = self.ints(axes);
        self.op("Unsqueeze", &[x, &axes])
    }

    pub fn squeeze(&mut self, x: &str, axes: &[i64]) -> Name {
        let axes = self.ints(axes);
        self.op("Squeeze", &[x, &axes])
    }

    pub fn concat(&mut self, parts: &[&str], axis: i64) -> Name {
        self.op_with("Concat", parts, vec![Attribute::int("axis", axis)])
    }

    pub fn cast(&mut self, x: &str, to: i32) -> Name {
        self.op_with("Cast", &[x], vec![Attribute::int("to", to.into())])
    }

    /// The extent of an axis, as a list of one.
    pub fn extent(&mut self, x: &str, axis: i64) -> Name {
        let (start, end) = (Attribute::int("start", axis), Attribute::int("end", axis + 1));
        self.op_with("Shape", &[x], vec![start, end])
    }

    /// 0, 1, 2 up to a count that is a list of one.
    pub fn range(&mut self, count: &str) -> Name {
        let (zero, one) = (self.int(0), self.int(1));
        let count = self.squeeze(count, &[0]);
        self.op("Range", &[&zero, &count, &one])
    }

    /// The sum over an axis.
    pub fn sum(&mut self, x: &str, axis: i64, keep: bool) -> Name {
        let axes = self.ints(&[axis]);
        self.op_with("ReduceSum", &[x, &axes], vec![Attribute::int("keepdims", keep.into())])
    }

    /// Another reduction of opset 17, whose axes are an attribute still.
    pub fn reduce(&mut self, kind: &str, x: &str, axis: i64, keep: bool) -> Name {
        let attributes = vec![Attribute::ints("axes", &[axis]), Attribute::int("keepdims", keep.into())];
        self.op_with(kind, &[x], attributes)
    }

    /// Rows of each sample: `[batch, tokens, features]` at `[batch, chosen]`.
    pub fn rows(&mut self, x: &str, at: &str) -> Name {
        let at = self.unsqueeze(at, &[-1]);
        self.op_with("GatherND", &[x, &at], vec![Attribute::int("batch_dims", 1)])
    }

    /// Softmax over the last axis.
    pub fn softmax(&mut self, x: &str) -> Name {
        self.op_with("Softmax", &[x], vec![Attribute::int("axis", -1)])
    }

    /// The nodes, the constants that they read, and the weights.
    pub fn finish(mut self) -> (Vec<Node>, Vec<Tensor>, Weights) {
        let nodes = self.scopes.pop().expect("the graph itself is open");
        debug_assert!(self.scopes.is_empty(), "graphs inside of nodes are closed");
        let mut read = BTreeSet::new();
        reads(&nodes, &mut read);
        self.constant_order.retain(|constant| read.contains(constant.name.as_str()));
        (nodes, self.constant_order, self.weights)
    }
}

/// What nodes read, those inside of others too.
fn reads<'n>(nodes: &'n [Node], read: &mut BTreeSet<&'n str>) {
    for node in nodes {
        read.extend(node.input.iter().map(String::as_str));
        let inside = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
        inside.for_each(|graph| reads(&graph.node, read));
    }
}
