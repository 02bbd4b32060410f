//! What no compiler checks: ARCHITECTURE.md tells the truth, and what it calls absent is absent.
//!
//! Every fault is reported, not the first. A rule that has exceptions lists them with a reason, and an exception that is no longer
//! needed is a fault too: the lists can only get shorter.

mod absences;
mod map;

use crate::source;
use std::path::Path;
use std::process::Command;

/// Crates that must not be built: another C compiler's work, another crypto provider, a library of the system.
const FORBIDDEN: &[&str] = &["openssl-sys", "aws-lc-sys", "aws-lc-rs", "bindgen", "cmake", "native-tls"];

/// Checks everything and prints the faults.
pub fn run(root: &Path, _: &[String]) -> Result<(), String> {
    let faults = check(root)?;
    if faults.is_empty() {
        println!("tidy");
        return Ok(());
    }
    Err(format!("{}\n\n{} faults", faults.join("\n"), faults.len()))
}

/// All faults, each as `path:line: what is wrong`.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let sources = source::all(root)?;
    let mut faults = map::check(root)?;
    faults.extend(absences::check(&sources, absences::RULES));
    faults.extend(absences::check_files(&sources, absences::LONG_FILES));
    faults.extend(dependencies(root)?);
    Ok(faults)
}

/// Forbidden crates in the tree.
fn dependencies(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let tree = String::from_utf8_lossy(&output.stdout);
    Ok(forbidden(&tree)
        .into_iter()
        .map(|name| format!("Cargo.lock: {name} must not be in the tree (docs/decisions/0008)"))
        .collect())
}

fn forbidden(tree: &str) -> Vec<&'static str> {
    let there: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    FORBIDDEN.iter().copied().filter(|name| there.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn the_house_is_tidy() {
        let faults = super::check(&crate::root()).unwrap();
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }

    #[test]
    fn a_forbidden_crate_is_found() {
        assert_eq!(super::forbidden("serde v1.0.0\nopenssl-sys v0.9.1\nopenssl-system v1.0.0\n"), ["openssl-sys"]);
    }
}
