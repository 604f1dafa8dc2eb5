//! An output made a second time, to see whether the same bytes come out.

use std::fs;
use std::path::{Path, PathBuf};

use tamis::check::Settings;
use tamis::checkpoint::{Existing, sha256_files};
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::execute::Saved;
use tamis::optimize::RULES;

use super::answer::Session;
use super::progress::Bars;
use super::verify::{Claim, STATEMENT, differences};

/// Files that come out differently. The model has to be what it was; nothing is taken from the cache.
pub fn rerun(claim: &Claim, session: &mut Session) -> Result<Vec<Diagnostic>, Diagnostics> {
    let beside = Beside::create(&claim.dir)?;
    let parameters = &claim.statement.predicate.build_definition.external_parameters;
    let settings = Settings {
        set: parameters.params.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        model: Some(claim.model.clone()),
        out: Some(beside.dir.join("again")),
        shard_size: None,
    };
    let (recipe, typed) = session.check(&claim.dir.join("recipe.tamis"), &settings)?;
    let (plan, _) = tamis::plan(&typed, RULES);
    let order = tamis::Order {
        recipe: session.recipe_text(recipe),
        existing: Existing::Refuse,
        cache: None,
        license: session.files.license(&claim.model),
    };
    let saved = tamis::run(&plan, order, &Bars::default())?.saved;
    // Several outputs of one sweep value are told apart by what they hold.
    let again = saved.iter().filter(|saved| saved.provenance.recipe.branch == parameters.branch);
    let compared: Vec<Vec<Diagnostic>> =
        again.map(|saved| compare(claim, saved)).collect::<Result<_, _>>()?;
    let nearest = compared.into_iter().min_by_key(Vec::len);
    nearest.ok_or_else(|| {
        let message = "the recipe makes no such output";
        Diagnostic::new(&codes::RERUN_DIFFERS, message).path(&claim.dir).into()
    })
}

fn compare(claim: &Claim, saved: &Saved) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut found = differences(&saved.dir, claim.subjects())?;
    let statements = [&claim.dir, &saved.dir].map(|dir| dir.join(STATEMENT));
    let digests = sha256_files(&statements)?;
    if digests[0] != digests[1] {
        found.push(Diagnostic::new(&codes::RERUN_DIFFERS, String::new()).path(&statements[1]));
    }
    let told = found.into_iter().filter_map(|diagnostic| diagnostic.path).map(|path| {
        let name = path.strip_prefix(&saved.dir).unwrap_or(&path).to_owned();
        let message = format!("`{}` comes out differently", name.display());
        Diagnostic::new(&codes::RERUN_DIFFERS, message).path(claim.dir.join(name))
    });
    Ok(told.collect())
}

/// A directory beside the output, where there was room for one; removed in the end.
struct Beside {
    dir: PathBuf,
}

impl Beside {
    fn create(output: &Path) -> Result<Self, Diagnostic> {
        let place = output.canonicalize().unwrap_or_else(|_| output.to_owned());
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dir = place.with_file_name(format!(".{name}.verify-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| {
            let message = format!("cannot make `{}`: {error}", dir.display());
            Diagnostic::new(&codes::OUTPUT_NOT_WRITABLE, message).path(&dir)
        })?;
        Ok(Self { dir })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
