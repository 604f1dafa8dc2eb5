//! The classes that a model's config names.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::Config;
use crate::diagnostic::Diagnostic;

/// The number of each class, by name: names of `id2label`, and over them those of `label2id`. None where there is no config.
///
/// # Errors
/// Where there is a config that cannot be read.
pub fn classes(model: &Path) -> Result<BTreeMap<String, usize>, Diagnostic> {
    let path = model.join("config.json");
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let config = Config::read(&path)?;
    let object = |key: &str| config.get(key).and_then(|value| value.as_object()).into_iter().flatten();
    let named = object("id2label")
        .filter_map(|(number, name)| Some((name.as_str()?.to_owned(), number.parse().ok()?)));
    let numbered = object("label2id").filter_map(|(name, number)| {
        let number = usize::try_from(number.as_u64()?).ok()?;
        Some((name.clone(), number))
    });
    Ok(named.chain(numbered).collect())
}
