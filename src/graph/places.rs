//! Sites and axes by path: names that mean the same before and after weights were looked at.
//!
//! Which experts go is known only once scores are; until then a graph drops the last ones in their stead. Numbers of the
//! graph's arenas therefore differ between the checker's graph and the executor's, while paths agree.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::axis::{Axis, AxisId};
use super::param::SiteId;
use super::tree::{NodeId, Tree};
use super::{Arena, Graph, Role, Shared};

/// Path to number, for one graph, as it was when it was asked.
#[derive(Debug, Clone)]
pub struct Places {
    /// Shared with the graph, and so are the paths of its nodes.
    tree: Shared<Tree>,
    axes: Shared<Arena<Axis>>,
    /// Most who ask look for sites only.
    axis_at: OnceLock<BTreeMap<(NodeId, &'static str), AxisId>>,
}

impl Places {
    pub fn site(&self, path: &str) -> Option<SiteId> {
        self.tree[self.tree.at(path)?].site
    }

    pub fn axis(&self, path: &str) -> Option<AxisId> {
        let (node, role) = path.rsplit_once('.').unwrap_or(("", path));
        let axes = self.axis_at.get_or_init(|| self.axes_by_place());
        axes.get(&(self.tree.at(node)?, role)).copied()
    }

    fn axes_by_place(&self) -> BTreeMap<(NodeId, &'static str), AxisId> {
        let mut axes = BTreeMap::new();
        for (id, axis) in self.axes.iter() {
            if !matches!(axis.role, Role::Fixed | Role::Tokens | Role::Height | Role::Width) {
                axes.entry((axis.node, axis.role.name())).or_insert(id);
            }
        }
        axes
    }
}

impl Graph {
    pub fn places(&self) -> Places {
        Places { tree: self.tree.clone(), axes: self.axes.clone(), axis_at: OnceLock::new() }
    }
}
