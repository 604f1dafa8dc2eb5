//! Agglomerative clustering with average linkage (UPGMA): the two nearest clusters become one until few enough are left.

/// For each of `n` things the number of its cluster, `into` of them, numbered by their first members. Of equal distances the
/// pair with the lowest numbers is joined first.
///
/// # Panics
/// Where `distances` is not `n x n`.
pub fn average_linkage(distances: &[f64], n: usize, into: usize) -> Vec<usize> {
    assert_eq!(distances.len(), n * n, "a square matrix of distances");
    let mut distances = distances.to_vec();
    let mut sizes = vec![1.0; n];
    let mut cluster: Vec<usize> = (0..n).collect();
    let mut alive: Vec<usize> = (0..n).collect();
    while alive.len() > into.max(1) {
        let (first, second) = nearest(&distances, n, &alive);
        for &other in alive.iter().filter(|&&other| other != first && other != second) {
            let joined = (sizes[first] * distances[first * n + other]
                + sizes[second] * distances[second * n + other])
                / (sizes[first] + sizes[second]);
            (distances[first * n + other], distances[other * n + first]) = (joined, joined);
        }
        sizes[first] += sizes[second];
        alive.retain(|&other| other != second);
        cluster.iter_mut().filter(|cluster| **cluster == second).for_each(|cluster| *cluster = first);
    }
    cluster.iter().map(|cluster| alive.binary_search(cluster).expect("clusters are alive")).collect()
}

/// The two nearest; the lower number, whose cluster stays, first.
fn nearest(distances: &[f64], n: usize, alive: &[usize]) -> (usize, usize) {
    let mut best = (f64::INFINITY, (alive[0], alive[1]));
    for (at, &first) in alive.iter().enumerate() {
        for &second in &alive[at + 1..] {
            let distance = distances[first * n + second];
            if distance < best.0 {
                best = (distance, (first, second));
            }
        }
    }
    best.1
}

/// Euclidean distances between rows of `width` values.
pub fn euclidean(rows: &[f64], width: usize) -> Vec<f64> {
    let rows: Vec<&[f64]> = rows.chunks_exact(width.max(1)).collect();
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    rows.iter().flat_map(|a| rows.iter().map(move |b| distance(a, b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The case of the method card (HC-SMoE): 0 and 1 join at 1, 2 and 3 at 1, then 4 comes to the first two at 4.0616.
    #[test]
    fn the_worked_case_of_mean_outputs() {
        let outputs = [0.0, 0.0, 1.0, 0.0, 5.0, 0.0, 5.0, 1.0, 0.0, 4.0];
        let distances = euclidean(&outputs, 2);
        let groups = |into| average_linkage(&distances, 5, into);
        assert_eq!(groups(5), [0, 1, 2, 3, 4]);
        assert_eq!(groups(4), [0, 0, 1, 2, 3]);
        assert_eq!(groups(3), [0, 0, 1, 1, 2]);
        assert_eq!(groups(2), [0, 0, 1, 1, 0]);
        assert_eq!(groups(1), [0; 5]);
    }
}
