//! The order in which tasks are done.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, TaskId};

/// All tasks, what is needed first. Of those that could come next the one that `first` puts first does.
pub fn topological<K: Ord>(plan: &Plan, mut first: impl FnMut(TaskId) -> K) -> Option<Vec<TaskId>> {
    let mut waiting: Vec<usize> =
        vec![0; plan.tasks.node_indices().map(|id| id.index() + 1).max().unwrap_or(0)];
    let mut ready = BTreeSet::new();
    for id in plan.tasks.node_indices() {
        waiting[id.index()] = plan.needs(id).len();
        if waiting[id.index()] == 0 {
            ready.insert((first(id), id));
        }
    }
    let mut order = Vec::with_capacity(plan.tasks.node_count());
    while let Some((_, id)) = ready.pop_first() {
        order.push(id);
        for user in plan.users(id) {
            waiting[user.index()] -= 1;
            if waiting[user.index()] == 0 {
                ready.insert((first(user), user));
            }
        }
    }
    (order.len() == plan.tasks.node_count()).then_some(order)
}

impl Plan {
    /// Mends the order after tasks were joined or new needs were made; what needs no other place keeps its own.
    ///
    /// # Panics
    /// Where tasks need each other in a circle.
    pub fn reorder(&mut self) {
        let places: BTreeMap<TaskId, usize> = self.order.iter().copied().zip(0..).collect();
        let place = |id: TaskId| places.get(&id).copied().unwrap_or(places.len());
        self.order = topological(self, place).expect("tasks do not need each other in a circle");
    }
}
