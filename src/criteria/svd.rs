//! `svd`: the nearest product of a rank.

use crate::criterion;
use crate::pass::Criterion;

criterion! {
    /// The truncated singular value decomposition: of all products of that rank the one nearest to the weight.
    ///
    /// It looks at weights alone. Where data is at hand, `svd_llm` keeps more of what matters.
    ///
    /// ```tamis
    /// factorize weights of layers[*].mlp by svd to rank(16)
    /// ```
    ///
    /// Eckart and Young, The Approximation of One Matrix by Another of Lower Rank, Psychometrika 1936.
    Svd = "svd"
    {}
}

impl Criterion for Svd {
    fn describe(&self) -> String {
        "svd".into()
    }

    fn decomposes(&self) -> bool {
        true
    }
}
