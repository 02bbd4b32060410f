//! What is to be measured: `bench/scenarios.toml`.

use super::side::Work;
use serde::Deserialize;
use std::fs;
use std::path::Path;

const FILE: &str = "bench/scenarios.toml";

/// One measurement: each of `works` on each of `sides`, at each number of rows and of connections.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// What it shows.
    pub(super) about: String,
    /// Folders of `bench/sides`; ratios are those of the first to each other.
    pub(super) sides: Vec<String>,
    #[serde(default = "all_works")]
    pub(super) works: Vec<Work>,
    #[serde(default = "usual_connections")]
    pub(super) connections: Vec<usize>,
    /// Posts; there is a user for each hundred.
    #[serde(default = "usual_rows")]
    pub(super) rows: Vec<usize>,
    /// Reads are those of somebody who is signed in.
    #[serde(default)]
    pub(super) signed_in: bool,
    /// Rounds, interleaved; medians are told.
    #[serde(default = "usual_rounds")]
    pub(super) rounds: usize,
    /// How long each work runs in each round, after the warm-up.
    #[serde(default = "usual_seconds")]
    pub(super) seconds: u64,
    /// Requests of this time are not counted.
    #[serde(default = "usual_warm_up")]
    pub(super) warm_up_seconds: u64,
}

fn all_works() -> Vec<Work> {
    Work::ALL.to_vec()
}

fn usual_connections() -> Vec<usize> {
    vec![32]
}

fn usual_rows() -> Vec<usize> {
    vec![100_000]
}

fn usual_rounds() -> usize {
    3
}

fn usual_seconds() -> u64 {
    4
}

fn usual_warm_up() -> u64 {
    1
}

impl Scenario {
    /// The scenario of this name.
    pub(super) fn read(root: &Path, name: &str) -> Result<Scenario, String> {
        let text = fs::read_to_string(root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
        let scenarios: toml::Table = toml::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
        let Some(scenario) = scenarios.get(name) else {
            let names: Vec<&str> = scenarios.keys().map(String::as_str).collect();
            return Err(format!("{FILE}: no scenario \"{name}\"; there are {}", names.join(", ")));
        };
        let scenario: Scenario =
            scenario.clone().try_into().map_err(|error| format!("{FILE}: scenario \"{name}\": {error}"))?;
        let empty = scenario.sides.is_empty() || scenario.works.is_empty() || scenario.rounds == 0;
        if empty || scenario.connections.contains(&0) || scenario.rows.contains(&0) {
            return Err(format!("{FILE}: scenario \"{name}\" measures nothing"));
        }
        Ok(scenario)
    }
}
