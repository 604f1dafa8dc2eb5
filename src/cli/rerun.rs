//! An output made a second time, to see whether the same bytes come out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tamis::check::Settings;
use tamis::checkpoint::{Checkpoint, Existing, sha256_files};
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::execute::Saved;
use tamis::optimize::RULES;

use super::answer::Session;
use super::interrupt;
use super::progress::Bars;
use super::verify::{Claim, STATEMENT, differences};

/// Files that come out differently. The model has to be what it was; nothing is taken from the cache.
pub fn rerun(claim: &Claim, session: &mut Session, again: &Again) -> Result<Vec<Diagnostic>, Diagnostics> {
    let parameters = &claim.statement.predicate.build_definition.external_parameters;
    let settings = Settings {
        set: parameters.params.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        model: Some(claim.model.clone()),
        out: Some(again.dir.clone()),
        shard_size: largest_shard(&claim.dir)?,
    };
    let told = session.diagnostics.clone();
    let (recipe, typed) = session.check(&claim.dir.join("recipe.tamis"), &settings)?;
    // What the recipe is warned of was said when it was run.
    session.diagnostics = told;
    let (plan, _) = tamis::plan(&typed, RULES);
    let order = tamis::Order {
        recipe: session.recipe_text(recipe),
        existing: Existing::Refuse,
        cache: None,
        license: session.files.license(&claim.model),
    };
    let saved = tamis::run(&plan, order, &Bars::default())?.saved;
    // Several outputs of one sweep value are told apart by what they hold.
    let made = saved.iter().filter(|saved| saved.provenance.recipe.branch == parameters.branch);
    let compared: Vec<Vec<Diagnostic>> = made.map(|saved| compare(claim, saved)).collect::<Result<_, _>>()?;
    let nearest = compared.into_iter().min_by_key(Vec::len);
    nearest.ok_or_else(|| {
        let message = "the recipe makes no such output";
        Diagnostic::new(&codes::RERUN_DIFFERS, message).path(&claim.dir).into()
    })
}

fn compare(claim: &Claim, saved: &Saved) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut found = differences(&saved.dir, claim.reproducible())?;
    let statements = [&claim.dir, &saved.dir].map(|dir| dir.join(STATEMENT));
    let digests = sha256_files(&statements)?;
    if claim.in_place() && digests[0] != digests[1] {
        found.push(Diagnostic::new(&codes::RERUN_DIFFERS, String::new()).path(&statements[1]));
    }
    let told = found.into_iter().filter_map(|diagnostic| diagnostic.path).map(|path| {
        let name = path.strip_prefix(&saved.dir).unwrap_or(&path).to_owned();
        let message = format!("`{}` comes out differently", name.display());
        Diagnostic::new(&codes::RERUN_DIFFERS, message).path(claim.dir.join(name))
    });
    Ok(told.collect())
}

/// The limit on shards that an output was written with, as far as it made a difference; none where there is one file.
///
/// Tensors are packed one after the other, so the largest shard as a limit gives the same shards.
fn largest_shard(dir: &Path) -> Result<Option<u64>, Diagnostic> {
    let checkpoint = Checkpoint::open(dir)?;
    let mut shards = BTreeMap::new();
    for stored in checkpoint.tensors.values() {
        *shards.entry(stored.file).or_default() += stored.bytes;
    }
    Ok(shards.values().copied().max().filter(|_| shards.len() > 1))
}

/// A place beside the output, where there was room for one; empty again in the end.
pub struct Again {
    dir: PathBuf,
}

impl Again {
    /// Signals clear it up too, from here on.
    pub fn beside(output: &Path) -> Self {
        let place = output.canonicalize().unwrap_or_else(|_| output.to_owned());
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dir = place.with_file_name(format!(".{name}.again-{}", std::process::id()));
        interrupt::hold().take_back(vec![dir.clone()], Some(dir.clone()));
        Self { dir }
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
