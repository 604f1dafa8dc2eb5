//! `inspect` and `diff`.

use crate::program::Place;

#[test]
fn a_model_is_no_different_from_itself() {
    let ran = Place::new().tamis("diff models/bert-eras models/bert-eras").fine();
    assert!(ran.stdout.ends_with("\n73 tensors: 73 the same\n"), "{}", ran.stdout);
}
