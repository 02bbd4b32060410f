//! How long the common requests take. Not run with the others; see the command below.
//!
//! `cargo test -p undergird-api --config 'profile.dev.package.undergird-api.opt-level=3' -- --ignored --nocapture speed`

use super::*;
use std::hint::black_box;
use std::time::Instant;

#[test]
#[ignore = "measures"]
fn speed() {
    for query in [
        "id=eq.01927e5a-3b7c-7c5e-8a51-6f0f0d1f9a3e",
        "select=*,author:users(name)&status=eq.published&order=published_at.desc&limit=20",
        "select=id,title&or=(a.eq.1,b.in.(1,2,3))&data->>x=ilike.*y*",
    ] {
        let limits = limits();
        let run = |count: u32| {
            let start = Instant::now();
            for _ in 0..count {
                black_box(decode(&Head::new(&Method::GET, "posts", black_box(query)), None, &limits).unwrap());
            }
            start.elapsed() / count
        };
        run(10_000);
        println!("{:?} {query}", run(200_000));
    }
}
