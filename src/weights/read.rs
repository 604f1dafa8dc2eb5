//! Reading: expressions evaluated for the rows that are asked for.
