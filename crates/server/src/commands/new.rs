//! `undergird new`: a small, commented application that runs.

use crate::cli::Exit;
use crate::say::say;
use std::fs;
use std::path::{Path, PathBuf};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The directory to make; its name is the application's.
    #[arg(value_name = "NAME")]
    directory: PathBuf,
}

/// The template. A list and not a folder, so that one sees what goes into the binary.
const FILES: &[(&str, &str)] = &[
    ("undergird.toml", include_str!("../../template/undergird.toml")),
    ("models/notes.toml", include_str!("../../template/models/notes.toml")),
    ("models/people.toml", include_str!("../../template/models/people.toml")),
    ("README.md", include_str!("../../template/README.md")),
    (".gitignore", include_str!("../../template/.gitignore")),
];

/// Longest name.
const NAME_CHARS_MAX: usize = 63;

/// # Errors
/// 2 for a name that is none or a directory that has something in it, 1 when files cannot be written.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let directory = &arguments.directory;
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
        return Err(Exit::wrong(format!(
            "\"{}\" is no name for an application: take letters, digits, - and _",
            directory.display()
        )));
    }
    if directory.exists() && !is_empty_directory(directory) {
        return Err(Exit::wrong(format!("{} is there already and has something in it", directory.display())));
    }
    for (file, text) in FILES {
        let path = directory.join(file);
        let fail = |error: std::io::Error| Exit::failed(format!("cannot write {}: {error}", path.display()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        fs::write(&path, text.replace("NAME", name)).map_err(fail)?;
    }
    let shown = directory.display();
    say!(
        "Made {shown}. Now:\n\n    undergird dev {shown}\n\nstarts it on http://127.0.0.1:8090; {shown}/README.md says what to try first."
    )?;
    Ok(())
}

fn is_empty_directory(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}
