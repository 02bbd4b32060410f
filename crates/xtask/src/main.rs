//! Chores of this repository: `cargo xtask COMMAND`. One file per chore, one visible list.
//!
//! Absent: anything that a user of Undergird needs; that is the `undergird` binary.

mod bench;
mod process;
mod services;
mod source;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A chore: its name, what it does, and itself. `Err` says what failed, in words that were not printed yet.
type Chore = (&'static str, &'static str, fn(&Path, &[String]) -> Result<(), String>);

const CHORES: &[Chore] = &[
    ("test", "format, lints, tidy, every test, and whole apps through the real binary", test::run),
    ("bench", "the same works over HTTP on several servers, in one run", bench::bench),
    (
        "instructions",
        "what the hot paths cost in instructions, against what is expected",
        bench::instructions::instructions,
    ),
    ("models", "start and memory by the number of models", bench::models::models),
    ("overload", "what a server does with ten times what it can do", bench::overload::overload),
    ("services", "throw-away PostgreSQL and MariaDB: up, down, status", services::run),
    ("slow", "what slow clients cost the others", bench::slow::slow),
    ("tidy", "the crate map, the stated absences, the dependencies that must not be there", tidy::run),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let Some((_, _, chore)) = CHORES.iter().find(|(name, _, _)| Some(*name) == wanted.as_deref()) else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for (name, about, _) in CHORES {
            eprintln!("  {name:12} {about}");
        }
        return ExitCode::from(2);
    };
    match chore(&root(), &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's directory.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
