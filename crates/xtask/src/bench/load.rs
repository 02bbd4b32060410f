//! One work on one side for some seconds: closed loops, each request counted, and the table of all of it.

use super::client::Client;
use super::side::{Session, Work};
use crate::process::Running;
use std::cell::Cell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What one work did in one round.
#[derive(Clone, Copy, Default)]
pub(super) struct Figures {
    per_second: f64,
    /// Of all processes of the side; what a database's own server takes is not in it.
    cpu_microseconds: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    /// Requests without a good answer.
    failed: f64,
    /// Memory that is not a file's, of all processes, when the round was over, in MB.
    resident: f64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { per_second, cpu_microseconds, p50, p99, p999, failed, resident } = self;
        write!(f, "{per_second:.0}/s, {cpu_microseconds:.1} µs CPU, p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2} ms, ")?;
        write!(f, "{resident:.0} MB, {failed} failed")
    }
}

/// How a work is measured.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) work: Work,
    pub(super) connections: usize,
    /// Another in each round and on each side.
    pub(super) run: usize,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

/// Each connection asks again when it was answered. Requests that began before the warm-up's end are not counted. The first fault is told.
pub(super) async fn measure(
    session: &Session,
    running: &Running,
    load: Load,
) -> Result<(Figures, Option<String>), String> {
    let Load { work, connections, run, warm_up, time } = load;
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(Client::connect(session.port).await?);
    }
    let begun = Instant::now();
    let next = Cell::new(0usize);
    let expected = session.expected(work);
    let workers = clients.into_iter().map(|mut client| {
        let next = &next;
        async move {
            let (mut latencies, mut failed, mut fault) = (Vec::with_capacity(1 << 14), 0usize, None);
            while begun.elapsed() < warm_up + time {
                let request = session.request(work, run, next.replace(next.get() + 1));
                let sent = Instant::now();
                let counted = sent - begun >= warm_up;
                match client.send(&request).await {
                    Ok((status, body)) if status == expected && (work == Work::W1 || body.len() >= 100) => {
                        if counted {
                            latencies.push(sent.elapsed());
                        }
                    }
                    Ok((status, body)) => {
                        failed += usize::from(counted);
                        let told = String::from_utf8_lossy(body).chars().take(300).collect::<String>();
                        fault.get_or_insert_with(|| format!("status {status}: {told}"));
                    }
                    Err(why) => {
                        failed += usize::from(counted);
                        fault.get_or_insert(why);
                        match Client::connect(session.port).await {
                            Ok(again) => client = again,
                            Err(_) => break,
                        }
                    }
                }
            }
            (latencies, failed, fault)
        }
    });
    let cpu = async {
        tokio::time::sleep(warm_up).await;
        running.cpu().map(|cpu| (cpu, Instant::now()))
    };
    let (finished, cpu_before) = futures_util::future::join(futures_util::future::join_all(workers), cpu).await;
    let (cpu_before, counted_from) = cpu_before?;
    let elapsed = counted_from.elapsed();
    let cpu = running.cpu()?.saturating_sub(cpu_before);
    let (mut latencies, mut failed, mut fault) = (Vec::new(), 0, None);
    for (some, lost, why) in finished {
        latencies.extend(some);
        failed += lost;
        fault = fault.or(why);
    }
    if latencies.is_empty() {
        return Err(format!("{}: no good answer; {}", work.name(), fault.unwrap_or_default()));
    }
    latencies.sort_unstable();
    let count = latencies.len() as f64;
    let at = |share: f64| super::ms(super::at(&latencies, share));
    let figures = Figures {
        per_second: count / elapsed.as_secs_f64(),
        cpu_microseconds: cpu.as_secs_f64() * 1e6 / count,
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        failed: failed as f64,
        resident: running.memory()? as f64 / f64::from(1 << 20),
    };
    Ok((figures, fault))
}

fn median(figures: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The figures of one work at one width: of each side, its rounds.
pub(super) struct Measured {
    pub(super) work: Work,
    pub(super) connections: usize,
    pub(super) rows: usize,
    pub(super) sides: Vec<Vec<Figures>>,
}

/// Medians, and what the first side has of each other's: requests/s, CPU per request, p99.
pub(super) fn table(names: &[String], measured: &[Measured]) -> String {
    let mut out = String::from(
        "| work | rows | connections | side | requests/s | µs CPU/request | p50 ms | p99 ms | p99.9 ms | memory MB | failed | first side's requests/s, CPU, p99 of this one's |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for Measured { work, connections, rows, sides } in measured {
        let first = &sides[0];
        for (number, (name, figures)) in names.iter().zip(sides).enumerate() {
            let of = |field: fn(&Figures) -> f64| median(figures, field);
            let failed: f64 = figures.iter().map(|figures| figures.failed).sum();
            let beginning =
                if number == 0 { format!("{} | {rows} | {connections}", work.name()) } else { " | | ".to_owned() };
            _ = write!(
                out,
                "| {beginning} | {name} | {:.0} | {:.1} | {:.2} | {:.2} | {:.2} | {:.0} | {failed} |",
                of(|f| f.per_second),
                of(|f| f.cpu_microseconds),
                of(|f| f.p50),
                of(|f| f.p99),
                of(|f| f.p999),
                of(|f| f.resident),
            );
            if number == 0 {
                out.push_str(" |\n");
                continue;
            }
            let ratio = |field: fn(&Figures) -> f64| 100.0 * median(first, field) / median(figures, field);
            let (rate, cpu, p99) = (ratio(|f| f.per_second), ratio(|f| f.cpu_microseconds), ratio(|f| f.p99));
            _ = writeln!(out, " {rate:.0} %, {cpu:.0} %, {p99:.0} % |");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Figures, Measured, table};
    use crate::bench::side::Work;

    #[test]
    fn a_table_tells_medians_and_what_the_first_side_has_of_the_others() {
        let rounds = |rates: [f64; 3]| {
            rates.map(|per_second| Figures { per_second, failed: 1.0, ..Figures::default() }).to_vec()
        };
        let sides = vec![rounds([300.0, 100.0, 200.0]), rounds([50.0, 400.0, 400.0])];
        let names = ["ours", "theirs"].map(str::to_owned);
        let told = table(&names, &[Measured { work: Work::R1, connections: 8, rows: 9, sides }]);
        assert!(told.contains("| R1 read one | 9 | 8 | ours | 200 |"), "{told}");
        // Faults of all rounds are told, not their median.
        assert!(told.contains("| theirs | 400 | 0.0 | 0.00 | 0.00 | 0.00 | 0 | 3 | 50 %,"), "{told}");
    }
}
