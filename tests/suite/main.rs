//! The language by example: every case of the markdown files below this directory holds.
//!
//! `cargo test --test suite` runs them; `UPDATE=1` rewrites the blocks that say what comes out.

mod checker;
mod editor;
mod examples;
mod expectations;
mod fixture;
mod language;
mod mistakes;
mod planner;
mod syntax_properties;

#[test]
fn the_language_is_as_its_fixtures_say() {
    fixture::run("language", language::check);
}

#[test]
fn the_checker_finds_what_its_fixtures_say() {
    fixture::run("check", checker::check);
}

#[test]
fn an_editor_is_told_what_its_fixtures_say() {
    fixture::run("editor", editor::check);
}

#[test]
fn mistakes_are_told_and_mended() {
    fixture::run("mistakes", mistakes::check);
}

#[test]
fn plans_are_as_their_fixtures_say() {
    fixture::run("plan", planner::check);
}
