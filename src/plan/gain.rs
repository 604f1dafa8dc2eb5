//! What a step does beside costs, for the last column of the table: `12 weights 2:4`.

use crate::diagnostic::numbers::{share, things};
use crate::graph::{Graph, Site, SiteId, Weight};

/// What differs between two graphs and is no cost; empty where nothing does.
pub fn gain(before: &Graph, after: &Graph) -> String {
    let mut gains = sparse(before, after);
    let factored = |graph: &Graph| graph.sites.iter().filter(|(_, site)| is_factored(site)).count();
    match factored(after).saturating_sub(factored(before)) {
        0 => {}
        count => gains.push(format!("{} in two factors", things(count, "weight"))),
    }
    gains.extend(cast(before, after));
    gains.join(", ")
}

fn is_factored(site: &Site) -> bool {
    matches!(site.weight, Weight::Factored { .. })
}

/// Weights that became sparse, by pattern, and all others with the share of zeros that they are promised.
fn sparse(before: &Graph, after: &Graph) -> Vec<String> {
    let new = |(id, site): (SiteId, &Site)| {
        let then = before.sites.get(id).and_then(|site| site.sparsity);
        Some((id, site.sparsity?.beside(then)?))
    };
    let mut patterns: Vec<((usize, usize), usize)> = Vec::new();
    let (mut weights, mut zeros, mut elements) = (0, 0, 0);
    for (id, sparsity) in after.sites.iter().filter_map(new) {
        if let Some(new) = sparsity.pattern() {
            match patterns.iter_mut().find(|(pattern, _)| *pattern == new) {
                Some((_, count)) => *count += 1,
                None => patterns.push((new, 1)),
            }
        }
        if let Some(count) = sparsity.zeros() {
            let (outs, ins) = after.site_dims(id);
            weights += 1;
            zeros += count;
            elements += after.dim_extent(&outs) * after.dim_extent(&ins);
        }
    }
    let pattern =
        |((keep, of), count): ((usize, usize), usize)| format!("{} {keep}:{of}", things(count, "weight"));
    let mut texts: Vec<String> = patterns.into_iter().map(pattern).collect();
    if weights > 0 {
        let share = share(zeros as f64 / elements.max(1) as f64);
        texts.push(format!("{}, {share} zeros", things(weights, "weight")));
    }
    texts
}

fn cast(before: &Graph, after: &Graph) -> Option<String> {
    let changed = after
        .params
        .iter()
        .filter(|(id, param)| before.params.get(*id).is_some_and(|then| then.dtype != param.dtype));
    let types: Vec<_> = changed.map(|(_, param)| param.dtype).collect();
    let first = types.first()?;
    Some(format!("{} to {first}", things(types.len(), "tensor")))
}
