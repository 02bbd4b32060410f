//! `cargo xtask models`: how long the binary takes from its start to its first answer, and what memory it takes at rest, by the number of
//! models of its definition.
//!
//! Absent: a verdict; `docs/performance.md` says what was seen.

use super::client::Client;
use super::side::publishable_key;
use super::{at, ms, text};
use crate::process::{Running, capture, run};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const NUMBERS: [usize; 4] = [50, 500, 2_000, 5_000];
const STARTS: usize = 10;
/// A server is at rest so long after its first answer.
const REST: Duration = Duration::from_secs(1);

pub(crate) fn models(root: &Path, given: &[String]) -> Result<(), String> {
    const USAGE: &str = "usage: cargo xtask models [--built (use the release binary as it is)] [NUMBER …]";
    let mut numbers = Vec::new();
    let mut built = false;
    for argument in given {
        match argument.as_str() {
            "--built" => built = true,
            number => numbers.push(number.parse().ok().filter(|number| *number > 1).ok_or(USAGE)?),
        }
    }
    if numbers.is_empty() {
        numbers.extend(NUMBERS);
    }
    if !built {
        run(root, "cargo", &["build", "--release", "--locked", "-p", "undergird"])?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the client's runtime: {error}"))?;
    println!(
        "| models | tables made, s | check, ms | start to first answer, ms | worst | at rest, MB | of these not files', MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for number in numbers {
        println!("{}", runtime.block_on(measure(root, number))?);
    }
    Ok(())
}

async fn measure(root: &Path, number: usize) -> Result<String, String> {
    let undergird = root.join("target/release/undergird");
    let app = root.join(format!("target/bench/models-{number}"));
    write(&app, number).map_err(|error| format!("{}: {error}", app.display()))?;
    let checked = Instant::now();
    capture(text(&undergird)?, &["check", text(&app)?])?;
    let checked = checked.elapsed();
    let key = publishable_key(&undergird, &app)?;
    let begun = Instant::now();
    capture(text(&undergird)?, &["migrate", text(&app)?])?;
    let made = begun.elapsed();
    let mut starts = Vec::new();
    let (mut resident, mut memory) = (0, 0);
    for _ in 0..STARTS {
        let begun = Instant::now();
        let running = answering(&undergird, &app, &key).await?;
        starts.push(begun.elapsed());
        tokio::time::sleep(REST).await;
        (resident, memory) = (running.resident()?, running.memory()?);
    }
    starts.sort_unstable();
    Ok(format!(
        "| {number} | {:.1} | {:.0} | {:.0} | {:.0} | {} | {} |",
        made.as_secs_f64(),
        ms(checked),
        ms(at(&starts, 0.5)),
        ms(at(&starts, 1.0)),
        resident >> 20,
        memory >> 20
    ))
}

/// A server that has answered.
async fn answering(undergird: &Path, app: &Path, key: &str) -> Result<Running, String> {
    let running = Running::start_with(undergird, &["serve", text(app)?, "--listen", "127.0.0.1:0"], &[])?;
    let request = format!("GET /rest/v1/thing_0?limit=1 HTTP/1.1\r\nhost: bench\r\napikey: {key}\r\n\r\n");
    let mut client = Client::connect(running.port).await?;
    match client.send(&request).await? {
        (200, _) => Ok(running),
        (status, body) => Err(format!("status {status}: {}", String::from_utf8_lossy(body))),
    }
}

/// An application in which each model has fields of several types, an index, rules, and a reference to the one before it.
fn write(app: &Path, number: usize) -> Result<(), std::io::Error> {
    let _ = fs::remove_dir_all(app);
    fs::create_dir_all(app.join("models"))?;
    fs::write(app.join("undergird.toml"), "name = \"many\"\n")?;
    for model in 0..number {
        let mut definition = String::from(
            "[fields]\ntitle = { type = \"text\", min = 1, max = 200 }\nbody = { type = \"text\", default = \"\" }\n\
             count = { type = \"int\", default = 0, min = 0 }\nkind = { type = \"enum\", values = [\"draft\", \"published\"], default = \"draft\" }\n\
             owner = { type = \"uuid\", default = { expr = \"auth.id\" } }\n\
             created_at = { type = \"timestamp\", default = { expr = \"now\" }, readonly = true }\n",
        );
        if model > 0 {
            let before = model - 1;
            _ = writeln!(definition, "parent_id = {{ type = \"ref\", to = \"thing_{before}\", optional = true }}");
        }
        definition.push_str(
            "\n[[indexes]]\nfields = [\"kind\", \"-created_at\"]\n\n[access]\nread = \"kind == 'published' || owner == auth.id\"\n\
             create = \"owner == auth.id\"\nupdate = \"owner == auth.id\"\ndelete = \"owner == auth.id\"\n",
        );
        fs::write(app.join(format!("models/thing_{model}.toml")), definition)?;
    }
    Ok(())
}
