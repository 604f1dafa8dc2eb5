//! Sites and axes by path: names that mean the same before and after weights were looked at.
//!
//! Which experts go is known only once scores are; until then a graph drops the last ones in their stead. Numbers of the
//! graph's arenas therefore differ between the checker's graph and the executor's, while paths agree.

use std::collections::BTreeMap;

use super::axis::AxisId;
use super::param::SiteId;
use super::{Graph, Role};

/// Path to number, for one graph.
#[derive(Debug, Clone, Default)]
pub struct Places {
    sites: BTreeMap<String, SiteId>,
    axes: BTreeMap<String, AxisId>,
}

impl Places {
    pub fn site(&self, path: &str) -> Option<SiteId> {
        self.sites.get(path).copied()
    }

    pub fn axis(&self, path: &str) -> Option<AxisId> {
        self.axes.get(path).copied()
    }
}

impl Graph {
    pub fn places(&self) -> Places {
        let site = |(id, site): (SiteId, &super::Site)| (self.tree.path(site.node), id);
        let prunable = |(id, axis): (AxisId, &super::Axis)| {
            let counted = !matches!(axis.role, Role::Fixed | Role::Tokens | Role::Height | Role::Width);
            counted.then(|| (self.axis_path(id), id))
        };
        let mut axes = BTreeMap::new();
        for (path, id) in self.axes.iter().filter_map(prunable) {
            axes.entry(path).or_insert(id);
        }
        Places { sites: self.sites.iter().map(site).collect(), axes }
    }
}
