//! Whatever the optimizer does to a plan, and however many threads carry it out, the bytes of the result are the same.
//!
//! Random recipes over the trained models of `tests/models`. Each is run as written and optimized, and once more on one
//! thread; every file of the three results is compared.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tamis::REGISTRY;
use tamis::check::Settings;
use tamis::checkpoint::Existing;
use tamis::execute::{Options, RecipeText, Silent};
use tamis::optimize::{RULES, Rule};
use tamis::source::{Source, Sources};
use tamis::world::Files;

/// Steps that every model of the directory can take at any point, or that are dropped where the checker refuses them.
const STEPS: [&str; 17] = [
    "prune heads, neurons of layers[*] by magnitude to 80% flops",
    "prune neurons of layers[*] by magnitude to 70% flops with { multiple: 16 }",
    "prune neurons of layers[*] by magnitude keep 75%",
    "prune neurons of layers[*] by random(seed: 3) keep 75% with { scope: global }",
    "prune hidden keep 75%",
    "prune heads of layers[0] by magnitude remove 50%",
    "prune experts of layers[*] by magnitude keep 5",
    "drop layers[1]",
    "drop layers by magnitude remove 1",
    "sparsify weights of layers[*] by magnitude to 2:4",
    "sparsify weights of layers[*] by random(seed: 5) to 1:4",
    "sparsify weights of layers[*] by magnitude to 60% zeros",
    "sparsify weights of layers[*] by lamp to 50% zeros with { scope: global }",
    "sparsify weights of layers[*] to 50% zeros with { scope: group, floor: 1% }",
    "factorize weights of layers[*].attention to rank(8)",
    "cast weights to bf16",
    "densify weights of layers[*]",
];

const MODELS: [&str; 4] = ["bert-eras", "llama-sotu", "mixtral-sotu", "vit-fashion"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn optimized_plans_write_the_same_bytes(
        model in 0..MODELS.len(),
        steps in proptest::collection::vec(0..STEPS.len(), 1..5),
        sweeps in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let steps = allowed(MODELS[model], &steps, sweeps);
        let recipe = recipe(MODELS[model], &steps, sweeps);
        let plain = run(&recipe, &[], &dir.path().join("plain"), 2);
        let optimized = run(&recipe, RULES, &dir.path().join("optimized"), 2);
        let alone = run(&recipe, RULES, &dir.path().join("alone"), 1);
        prop_assert!(!plain.is_empty());
        for (name, bytes) in &plain {
            prop_assert_eq!(Some(bytes), optimized.get(name), "{} of\n{}", name, recipe);
            prop_assert_eq!(Some(bytes), alone.get(name), "{} on one thread of\n{}", name, recipe);
        }
        prop_assert_eq!(plain.len(), optimized.len());
    }
}

/// The steps that the checker lets pass, one after the other.
fn allowed(model: &str, steps: &[usize], sweeps: bool) -> Vec<&'static str> {
    let mut allowed = Vec::new();
    for &step in steps {
        allowed.push(STEPS[step]);
        if checked(&recipe(model, &allowed, sweeps)).is_none() {
            allowed.pop();
        }
    }
    allowed
}

fn recipe(model: &str, steps: &[&str], sweeps: bool) -> String {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(model);
    let steps = steps.join("\n");
    let tail = if sweeps {
        "sweep share in [25%, 50%] {\n  sparsify weights of layers[*].attention to share zeros\n  save \"OUT/{share}\"\n}\n"
    } else {
        "save \"OUT/one\"\n"
    };
    format!("model input = \"{}\"\n{steps}\nmeasure zeros\n{tail}", model.display())
}

fn checked(recipe: &str) -> Option<tamis::check::Typed> {
    let mut sources = Sources::new();
    let id = sources.add(Source::new("recipe.tamis", recipe));
    let files = Files::new(REGISTRY.families);
    tamis::check(id, &Settings::default(), &files, &mut sources).0
}

/// Every file that a run leaves, by its path below the output.
fn run(recipe: &str, rules: &[&dyn Rule], out: &Path, threads: usize) -> BTreeMap<String, Vec<u8>> {
    // The place is the same in the text that is kept, and differs on disk.
    let text = recipe.replace("OUT", &out.display().to_string());
    let Some(typed) = checked(&text) else { return BTreeMap::new() };
    let (plan, _) = tamis::plan(&typed, rules);
    let options = Options {
        families: REGISTRY.families,
        recipe: RecipeText { text: recipe.to_owned(), ..RecipeText::default() },
        existing: Existing::Refuse,
        cache: None,
        pages: &|_| Vec::new(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    pool.install(|| tamis::execute::run(&plan, &options, &Silent)).expect("a checked recipe runs");
    files_below(out)
}

fn files_below(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(out).expect("the output is there") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(
                files_below(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)),
            );
        } else if name != tamis::execute::TIMINGS {
            // What a run took is of that run alone.
            let bytes = std::fs::read(&path).expect("a file can be read");
            // Provenance names where outputs went.
            let text = String::from_utf8(bytes.clone()).ok();
            let place = out.display().to_string();
            let bytes = text.map_or(bytes, |text| text.replace(&place, "OUT").into_bytes());
            found.insert(name, bytes);
        }
    }
    found
}
