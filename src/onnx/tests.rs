//! Structure of what is written.
