//! Matrices of one kind, which compete under `scope: group`.

use super::fit::anywhere;

/// Paths by the kind of their matrix, in the order in which kinds first come.
///
/// DIMAP's modules: query, key and value of all layers; attention outputs; all of the feed-forward blocks.
pub fn by_kind(sites: &[String]) -> Vec<Vec<String>> {
    let mut pools: Vec<(String, Vec<String>)> = Vec::new();
    for path in sites {
        let kind = kind(path);
        match pools.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, pool)) => pool.push(path.clone()),
            None => pools.push((kind, vec![path.clone()])),
        }
    }
    pools.into_iter().map(|(_, pool)| pool).collect()
}

fn kind(path: &str) -> String {
    let open = anywhere(path);
    match open.rsplit_once('.') {
        Some((parent, "query" | "key" | "value")) => format!("{parent}.(query, key, value)"),
        Some((parent, "up" | "gate" | "down")) => parent.to_string(),
        _ => open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_the_paper() {
        let paths = [
            "layers[0].attention.query",
            "layers[0].attention.key",
            "layers[0].attention.output",
            "layers[0].mlp.up",
            "layers[0].mlp.down",
            "layers[1].attention.value",
            "layers[1].attention.output",
            "layers[1].experts[0].up",
            "layers[1].experts[1].down",
            "head",
        ];
        let pools = by_kind(&paths.map(String::from));
        let expected = [
            vec![paths[0], paths[1], paths[5]],
            vec![paths[2], paths[6]],
            vec![paths[3], paths[4]],
            vec![paths[7], paths[8]],
            vec![paths[9]],
        ];
        assert_eq!(pools, expected);
    }
}
