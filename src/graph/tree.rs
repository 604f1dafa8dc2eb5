//! The canonical tree of a model, the same for every family: what selectors walk.

use foldhash::HashMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::arena::{Arena, Id};
use super::axis::AxisId;
use super::param::SiteId;

pub type NodeId = Id<Node>;

/// One place in the tree: `layers[3]`, `attention`, `query`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    /// The element of a list that this node is: layer 3 of `layers`.
    pub member: Option<(AxisId, usize)>,
    pub parent: Option<NodeId>,
    pub children: Vec<NodeId>,
    /// The weight that sits here.
    pub site: Option<SiteId>,
}

/// Nodes with one root, which stands for the whole model and has no name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tree {
    nodes: Arena<Node>,
    root: NodeId,
    /// Made when first asked for; copies share it, and a change of the tree ends it.
    #[serde(skip)]
    paths: OnceLock<Arc<Paths>>,
}

/// The paths of all nodes, both ways.
#[derive(Debug)]
struct Paths {
    /// By number; of nodes that are gone nothing.
    of: Vec<String>,
    by: HashMap<String, NodeId>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        (&self.nodes, self.root) == (&other.nodes, other.root)
    }
}

impl Default for Tree {
    fn default() -> Self {
        let mut nodes = Arena::default();
        let root = nodes.push(Node {
            name: String::new(),
            member: None,
            parent: None,
            children: Vec::new(),
            site: None,
        });
        Self { nodes, root, paths: OnceLock::new() }
    }
}

impl Tree {
    pub fn root(&self) -> NodeId {
        self.root
    }

    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// The child of that name and member, made where it is missing.
    pub fn child(&mut self, parent: NodeId, name: &str, member: Option<(AxisId, usize)>) -> NodeId {
        let found = self[parent].children.iter().copied().find(|&child| {
            let child = &self[child];
            child.name == name && child.member == member
        });
        found.unwrap_or_else(|| {
            let node =
                Node { name: name.into(), member, parent: Some(parent), children: Vec::new(), site: None };
            let id = self.changed().push(node);
            self.nodes[parent].children.push(id);
            id
        })
    }

    pub fn set_site(&mut self, node: NodeId, site: SiteId) {
        self.nodes[node].site = Some(site);
    }

    /// The nodes, for a change of names, numbers or parents.
    fn changed(&mut self) -> &mut Arena<Node> {
        self.paths.take();
        &mut self.nodes
    }

    /// `layers[3].attention.query`; empty for the root.
    pub fn path(&self, id: NodeId) -> String {
        match self.paths.get() {
            Some(paths) => paths.of[id.index()].clone(),
            None => self.spelled(id),
        }
    }

    /// The node of a path, as [`Tree::path`] spells it.
    pub fn at(&self, path: &str) -> Option<NodeId> {
        self.paths().by.get(path).copied()
    }

    fn paths(&self) -> &Paths {
        self.paths.get_or_init(|| {
            let mut of = vec![String::new(); self.nodes.bound()];
            for id in self.below(self.root).into_iter().skip(1) {
                let above = self[id].parent.map_or("", |parent| &of[parent.index()]);
                of[id.index()] = joined(above, &self[id]);
            }
            let by = self.nodes.ids().map(|id| (of[id.index()].clone(), id)).collect();
            Arc::new(Paths { of, by })
        })
    }

    fn spelled(&self, id: NodeId) -> String {
        let node = &self[id];
        node.parent.map_or_else(String::new, |parent| joined(&self.spelled(parent), node))
    }

    /// The node and all below it, parents before children.
    pub fn below(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            found.push(id);
            open.extend(self[id].children.iter().rev());
        }
        found
    }

    /// The node and all above it, up to the root.
    pub fn above(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(id), |&node| self[node].parent)
    }

    /// The nearest node that has both below it, or is one of them.
    pub fn nearest_above(&self, left: NodeId, right: NodeId) -> NodeId {
        let above: Vec<NodeId> = self.above(right).collect();
        self.above(left).find(|node| above.contains(node)).unwrap_or(self.root)
    }

    /// One more than the largest number in use: the size of a side table.
    pub fn bound(&self) -> usize {
        self.nodes.bound()
    }

    /// Takes the node and all below it out; the removed ids come back.
    pub(super) fn remove(&mut self, id: NodeId) -> Vec<NodeId> {
        let removed = self.below(id);
        let parent = self[id].parent;
        let nodes = self.changed();
        if let Some(parent) = parent {
            nodes[parent].children.retain(|&child| child != id);
        }
        for &node in &removed {
            nodes.remove(node);
        }
        removed
    }

    /// Applies `renumber` to every member number.
    pub(super) fn renumber(&mut self, axis: AxisId, renumber: impl Fn(usize) -> usize) {
        for (_, node) in self.changed().iter_mut() {
            if let Some((of, index)) = &mut node.member
                && *of == axis
            {
                *index = renumber(*index);
            }
        }
    }

    /// Axes were unified: replaces them by their representatives.
    pub(super) fn map_axes(&mut self, map: impl Fn(AxisId) -> AxisId) {
        for (_, node) in self.nodes.iter_mut() {
            if let Some((axis, _)) = &mut node.member {
                *axis = map(*axis);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter()
    }
}

/// The path of a node below one of that path.
fn joined(above: &str, node: &Node) -> String {
    let mut path = String::with_capacity(above.len() + node.name.len() + 6);
    path.push_str(above);
    if !above.is_empty() {
        path.push('.');
    }
    path.push_str(&node.name);
    if let Some((_, index)) = node.member {
        path.push_str(&format!("[{index}]"));
    }
    path
}

impl std::ops::Index<NodeId> for Tree {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}
