//! `provenance.json`: an in-toto Statement v1 with a SLSA provenance v1 predicate, for tools that know nothing of recipes.
//!
//! <https://in-toto.io/Statement/v1>, <https://slsa.dev/spec/v1.0/provenance>. No time stands in it, so that a second run
//! writes the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Lock, Provenance};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// Says what the external parameters below mean.
const BUILD: &str = "urn:tamis:recipe:v1";
const BUILDER: &str = "urn:tamis:run";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub kind: String,
    /// Every file of the output but this one.
    pub subject: Vec<Resource>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: Predicate,
}

/// A file and its digests, by algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub name: String,
    pub digest: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    pub build_definition: BuildDefinition,
    pub run_details: RunDetails,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    pub build_type: String,
    pub external_parameters: ExternalParameters,
    /// Recipes, files of the model, and those of the data; a file that two data sets share once.
    pub resolved_dependencies: Vec<Resource>,
}

/// What a user decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalParameters {
    pub recipe: Resource,
    pub model: String,
    /// Params of the recipe with the values used, as written.
    pub params: BTreeMap<String, String>,
    /// Values of the sweeps that led to this output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branch: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    pub builder: Builder,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    pub id: String,
    pub version: BTreeMap<String, String>,
}

impl Statement {
    /// `digests` are the SHA-256 of the output's files, by name.
    pub fn of(provenance: &Provenance, lock: &Lock, digests: BTreeMap<String, String>) -> Self {
        let recipe = resource("recipe.tamis", &lock.recipe);
        let used = lock.used.iter().map(|file| resource(&file.name, &file.sha256));
        let model = lock.model.files.iter().map(|file| resource(&file.name, &file.sha256));
        let mut data: Vec<Resource> = Vec::new();
        for file in lock.data.iter().flat_map(|data| &data.files) {
            let file = resource(&file.name, &file.sha256);
            if !data.contains(&file) {
                data.push(file);
            }
        }
        let external_parameters = ExternalParameters {
            recipe: recipe.clone(),
            model: lock.model.path.clone(),
            params: provenance.recipe.params.iter().cloned().collect(),
            branch: provenance.recipe.branch.clone(),
        };
        let version = BTreeMap::from([(provenance.tool.name.clone(), provenance.tool.version.clone())]);
        Self {
            kind: STATEMENT.into(),
            subject: digests.iter().map(|(name, sha256)| resource(name, sha256)).collect(),
            predicate_type: PREDICATE.into(),
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: BUILD.into(),
                    external_parameters,
                    resolved_dependencies: std::iter::once(recipe)
                        .chain(used)
                        .chain(model)
                        .chain(data)
                        .collect(),
                },
                run_details: RunDetails { builder: Builder { id: BUILDER.into(), version } },
            },
        }
    }
}

fn resource(name: &str, sha256: &str) -> Resource {
    Resource { name: name.into(), digest: BTreeMap::from([("sha256".into(), sha256.into())]) }
}
