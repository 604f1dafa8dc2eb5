//! Files that change while tamis works with them: between the check and the run, while an output is written, and later.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use tamis::check::Settings;
use tamis::checkpoint::Existing;
use tamis::diagnostic::Diagnostics;
use tamis::execute::{Outcome, Progress, RecipeText, Silent};
use tamis::optimize::RULES;
use tamis::plan::Plan;
use tamis::source::{Source, Sources};
use tamis::world::Files;
use tamis::{Order, REGISTRY};

use crate::program::Place;

/// A place with a copy of a real model, and a recipe for it.
fn place(step: &str) -> Place {
    let place = Place::new();
    for name in ["config.json", "model.safetensors"] {
        place.write(&format!("model/{name}"), fs::read(place.path("models/bert-eras").join(name)).unwrap());
    }
    place.write("x.tamis", format!("model input = \"model\"\n{step}\nsave \"out\"\n"));
    place
}

/// The recipe of a place, checked and planned by the library.
fn planned(place: &Place) -> Plan {
    let mut sources = Sources::new();
    let recipe = sources.add(Source::new("x.tamis", place.read("x.tamis")));
    let settings =
        Settings { model: Some(place.path("model")), out: Some(place.path("out")), ..Settings::default() };
    let files = Files::new(REGISTRY.families);
    let (typed, found) = tamis::check(recipe, &settings, &files, &mut sources);
    tamis::plan(&typed.unwrap_or_else(|| panic!("{found:?}")), RULES).0
}

fn run(plan: &Plan, progress: &dyn Progress) -> Result<Outcome, Diagnostics> {
    let order =
        Order { recipe: RecipeText::default(), existing: Existing::Refuse, cache: None, license: None };
    tamis::run(plan, order, progress)
}

fn code(ran: Result<Outcome, Diagnostics>) -> &'static str {
    ran.unwrap_err().iter().next().expect("a run that fails says why").code.name
}

#[test]
fn a_model_that_is_another_one_than_was_checked_is_not_compressed() {
    let place = place("drop layers[0]");
    let plan = planned(&place);
    let other = fs::read(place.path("models/llama-sotu/model.safetensors")).unwrap();
    place.write("model/model.safetensors", other);
    assert_eq!(code(run(&plan, &Silent)), "model-changed");
    assert_eq!(place.names("."), ["model", "models", "x.tamis"]);
}

/// Writes over the weights of an output as soon as they are there, with these numbers again and again.
struct Meddler<'a> {
    place: &'a Place,
    numbers: [u16; 4],
    done: AtomicBool,
}

impl Progress for Meddler<'_> {
    fn start(&self, what: &str, _: Option<u64>) {
        if what.starts_with("check") {
            let names = self.place.names(".");
            let partial =
                names.iter().find(|name| name.starts_with(".out.")).expect("an output in the making");
            let path = self.place.path(partial).join("model.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let group: Vec<u8> = self.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            bytes[header..].chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&group[..chunk.len()]));
            fs::write(path, bytes).unwrap();
            self.done.store(true, Ordering::Relaxed);
        }
    }

    fn advance(&self, _: u64) {}

    fn finish(&self) {}
}

#[test]
fn an_output_that_is_not_what_was_promised_is_not_kept() {
    const ONE: u16 = 0x3c00;
    let cases = [
        ("sparsify weights to 2:4", [ONE, 0, ONE, ONE]),
        ("sparsify weights to 50% zeros", [ONE, 0, ONE, ONE]),
        // The pattern holds, and there are fewer zeros than the second step promises.
        ("sparsify weights to 2:4\nsparsify weights to 75% zeros", [ONE, 0, ONE, 0]),
    ];
    for (step, numbers) in cases {
        let place = place(step);
        let meddler = Meddler { place: &place, numbers, done: AtomicBool::new(false) };
        let ran = run(&planned(&place), &meddler);
        assert!(meddler.done.load(Ordering::Relaxed), "{step}");
        assert_eq!(code(ran), "post-condition", "{step}");
        assert_eq!(place.names("."), ["model", "models", "x.tamis"]);
    }
}

#[test]
fn a_changed_input_shows_when_an_output_is_verified_and_made_again() {
    let place = place("drop layers[0]");
    place.tamis("run x.tamis").fine();
    place.tamis("verify out --rerun").fine();
    let mut bytes = fs::read(place.path("model/model.safetensors")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    place.write("model/model.safetensors", bytes);
    let ran = place.tamis("verify out");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("warning[input-changed]"), "{}", ran.stderr);
    let ran = place.tamis("verify out --rerun").fails(1, "rerun-differs");
    assert!(ran.stderr.contains("`model.safetensors` comes out differently"), "{}", ran.stderr);
    assert_eq!(place.names("."), ["cache", "model", "models", "out", "x.tamis"], "nothing else is left");
}
