//! A running server and its clients, the bad ones included.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};
use support::{Answer, Folder, Running, said};

#[test]
fn every_answer_says_what_every_answer_says() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    let mut ids = std::collections::HashSet::new();
    for (method, target) in [
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/nowhere"),
        ("GET", "/rest/v1/postz"),
        ("GET", "/rest/v1/posts?select=nothing"),
        ("PUT", "/health/live"),
        ("TRACE", "/rest/v1/posts"),
        ("OPTIONS", "/rest/v1/posts"),
        ("POST", "/auth/v1/token"),
        ("GET", "/metrics"),
        ("HEAD", "/health/live"),
    ] {
        let answer = running.send(method, target, &[("X-Request-Id", "mine")], b"");
        let check = |name: &str, expected: &str| {
            assert_eq!(answer.header(name), Some(expected), "{method} {target}: {name}\n{}", answer.head);
        };
        check("X-Content-Type-Options", "nosniff");
        check("Referrer-Policy", "no-referrer");
        check("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
        assert!(answer.header("Cache-Control").is_some_and(|value| value.contains("no-")), "{}", answer.head);
        assert!(answer.header("Server-Timing").is_some_and(|value| value.contains("total;dur=")), "{}", answer.head);
        let id = answer.header("X-Request-Id").unwrap().to_owned();
        assert_eq!(id.len(), 24);
        if answer.header("Content-Type") == Some("application/problem+json") {
            let problem = answer.json();
            for member in ["type", "title", "status", "code", "message", "request_id"] {
                assert!(problem.get(member).is_some(), "{method} {target}: no {member} in {problem}");
            }
            assert_eq!(problem["request_id"], id.as_str());
            assert_eq!(problem["status"], answer.status);
        }
        assert!(ids.insert(id), "request ids do not repeat");
    }
    running.stop();
}

#[test]
fn methods_and_origins() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[("UNDERGIRD_SERVER_CORS_ORIGINS", "https://app.example.org")]);
    let answer = running.send("TRACE", "/rest/v1/posts", &[], b"");
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS")));
    let answer = running.send("PUT", "/rest/v1/posts", &[], b"{}");
    assert_eq!(answer.status, 405);
    let answer = running.send("HEAD", "/health/live", &[], b"");
    assert_eq!((answer.status, answer.header("Content-Length"), answer.body.len()), (200, Some("15"), 0));

    let preflight = |origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        let answer = running.send("OPTIONS", "/rest/v1/posts", &headers, b"");
        assert_eq!(answer.status, 204);
        assert!(answer.header("Vary").is_some_and(|vary| vary.contains("Origin")), "{}", answer.head);
        let allowed = answer.header("Access-Control-Allow-Origin").map(str::to_owned);
        (allowed, answer.header("Access-Control-Allow-Credentials").map(str::to_owned))
    };
    let (origin, credentials) = preflight("https://app.example.org");
    assert_eq!((origin.as_deref(), credentials.as_deref()), (Some("https://app.example.org"), Some("true")));
    for stranger in [
        "null",
        "https://app.example.org.evil.org",
        "https://evilapp.example.org",
        "http://app.example.org",
        "https://app.example.org:444",
        "https://APP.example.org",
        "https://app.example.org/",
        "*",
    ] {
        assert_eq!(preflight(stranger), (None, None), "{stranger}");
    }
    running.stop();

    let running = Running::start(&blog, "dev", &[]);
    let answer = running.send("GET", "/health/live", &[("Origin", "https://anywhere.org")], b"");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), None, "never with *");
    running.stop();
}

#[test]
fn figures_are_for_the_secret_key() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    let keys: serde_json::Value = serde_json::from_str(&said(&blog, &["keys", "--json"], &[]).1).unwrap();
    let (publishable, secret) = (keys["publishable_key"].as_str().unwrap(), keys["secret_key"].as_str().unwrap());
    assert_eq!(running.get("/metrics").status, 401);
    assert_eq!(running.send("GET", "/metrics", &[("apikey", publishable)], b"").status, 401);
    assert_eq!(running.send("GET", "/metrics", &[("apikey", "ug_secret_wrong")], b"").status, 401);
    let answer = running.send("GET", "/metrics", &[("Authorization", &format!("Bearer {secret}"))], b"");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    assert!(text.contains("undergird_requests_total{operation=\"metrics\",status=\"401\"} 3"), "{text}");
    let twice = [("apikey", secret), ("apikey", secret)];
    assert_eq!(running.send("GET", "/metrics", &twice, b"").status, 401, "which of the two would count?");
    let answer = running.send("GET", "/metrics", &[("apikey", secret), ("Accept-Encoding", "gzip")], b"");
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
    assert!(answer.body.len() < text.len() / 3);
    running.stop();
}

#[test]
fn bodies_and_heads_have_limits() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    assert_eq!(running.get("/health/live").status, 200);
    let before = running.memory();

    let started = Instant::now();
    let mut stream = running.connect();
    stream.write_all(b"POST /rest/v1/posts HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000000\r\n\r\n").unwrap();
    let answer = Answer::read(stream);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("UG413")));

    let mut stream = running.connect();
    stream.write_all(b"POST /rest/v1/posts HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0u64;
    // Goes on until the server has had enough, as a client that does not listen does.
    while sent < 10_000_000_000 && stream.write_all(&chunk).is_ok() {
        sent += 0x10000;
    }
    assert!(
        sent < 10_000_000_000 && started.elapsed() < Duration::from_secs(20),
        "{sent} bytes, {:?}",
        started.elapsed()
    );
    assert!(running.memory() < before + (64 << 20), "{} → {}", before, running.memory());

    let answer = running.send("POST", "/rest/v1/posts", &[("Content-Encoding", "gzip")], b"\x1f\x8b");
    assert_eq!(answer.status, 415);
    let answer = running.get(&format!("/rest/v1/posts?title=eq.{}", "a".repeat(20_000)));
    assert_eq!((answer.status, answer.json()["code"].as_str()), (414, Some("UG414")));
    let mut stream = running.connect();
    stream.write_all(b"GET /rest/v1/posts?title=eq.\xff HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(Answer::read(stream).status, 400);
    let many: Vec<(String, &str)> = (0..200).map(|number| (format!("X-{number}"), "x")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(running.send("GET", "/health/live", &many, b"").status, 431);
    // Two lengths, or a length and chunks: whoever stands before us may read it otherwise.
    for smuggled in ["Content-Length: 1\r\nContent-Length: 2", "Content-Length: 1, 2", "Content-Length: +1"] {
        let mut stream = running.connect();
        write!(stream, "POST /rest/v1/posts HTTP/1.1\r\nHost: t\r\n{smuggled}\r\n\r\nab").unwrap();
        assert_eq!(Answer::read(stream).status, 400, "{smuggled}");
    }
    assert_eq!(running.get("/health/ready").status, 200);
    running.stop();
}

/// One test of twenty seconds, and not four: the waits run side by side.
#[test]
fn slow_clients_are_let_go() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    let closes_within = |first: &'static [u8], drip: Option<&'static [u8]>, least: u64, most: u64| {
        let running = &running;
        move || {
            let mut stream = running.connect();
            let started = Instant::now();
            stream.write_all(first).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let mut answer = Vec::new();
            loop {
                match stream.read_to_end(&mut answer) {
                    Ok(_) => break,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
                assert!(started.elapsed().as_secs() < most, "still open after {:?}: {first:?}", started.elapsed());
                if let Some(drip) = drip {
                    let _ = stream.write_all(drip);
                }
            }
            assert!(started.elapsed().as_secs() + 1 >= least, "closed after {:?}: {first:?}", started.elapsed());
            String::from_utf8_lossy(&answer).into_owned()
        }
    };
    let silent = closes_within(b"", None, 10, 14);
    let half = closes_within(b"GET /health/live HT", None, 10, 14);
    let dripping = closes_within(b"GET /health/live HTTP/1.1\r\nHost: t\r\n", Some(b"X: x\r\n"), 10, 14);
    let body = closes_within(
        b"POST /auth/v1/token?grant_type=password HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n",
        Some(b"x"),
        20,
        25,
    );
    std::thread::scope(|scope| {
        let heads = [scope.spawn(silent), scope.spawn(half), scope.spawn(dripping)];
        let body = scope.spawn(body);
        // Meanwhile everybody else is served.
        assert_eq!(running.get("/health/ready").status, 200);
        for slow in heads {
            slow.join().unwrap();
        }
        assert!(body.join().unwrap().starts_with("HTTP/1.1 408"));
    });
    running.stop();
}

#[test]
fn stopping_lets_requests_end_and_takes_no_new_ones() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    let mut idle = running.connect();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut some = [0u8; 16];
    idle.read_exact(&mut some).unwrap();
    let silent = running.connect();
    let mut under_way = running.connect();
    let head = "POST /auth/v1/token?grant_type=nonsense HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{";
    under_way.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));

    let started = Instant::now();
    running.terminate();
    std::thread::sleep(Duration::from_millis(300));
    assert!(std::net::TcpStream::connect(running.address).is_err(), "the listener is closed");
    under_way.write_all(b"}").unwrap();
    let answer = Answer::read(under_way);
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let (code, errors) = running.wait();
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}: idle and silent connections hold nobody up",
        started.elapsed()
    );
    drop((idle, silent));
}

#[test]
fn grace_serves_on_while_not_ready() {
    let blog = Folder::example("blog");
    said(&blog, &["keys"], &[]);
    assert_eq!(said(&blog, &["migrate"], &[]).0, 0);
    let mut child = support::undergird(&["serve", "--listen", "127.0.0.1:0", "--grace", "2"]);
    let mut child = child.current_dir(&blog.0).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let address: std::net::SocketAddr = line.trim().strip_prefix("ready http://").unwrap().parse().unwrap();
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
        Answer::read(stream)
    };
    assert_eq!(get("/health/ready").status, 200);
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let ready = get("/health/ready");
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("UG503")));
    assert_eq!(get("/health/live").status, 200);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn dev_follows_the_files_and_loses_nothing_unasked() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[]);
    let until = |path: &str, status: u16| {
        let started = Instant::now();
        loop {
            let found = running.get(path).status;
            if found == status {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{path}: {found}, not {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until("/rest/v1/notes", 404);
    blog.write("models/notes.toml", "[fields]\ntext = { type = \"text\" }\n[access]\nread = \"true\"\n");
    until("/rest/v1/notes", 200);
    blog.write("models/notes.toml", "[fields]\ntext = { type = \"txt\" }\n");
    std::thread::sleep(Duration::from_secs(2));
    until("/rest/v1/notes", 200);
    // A table with its rows would be gone for good.
    std::fs::remove_file(blog.0.join("models/notes.toml")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    until("/rest/v1/notes", 200);
    let errors = running.stop();
    assert!(errors.contains("models/notes.toml:2"), "{errors}");
    assert!(errors.contains("--accept-data-loss"), "{errors}");
    let (code, _, errors) = said(&blog, &["migrate"], &[]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("--accept-data-loss"), "{errors}");
    assert_eq!(said(&blog, &["migrate", "--accept-data-loss"], &[]).0, 0);
}

#[test]
fn logs_have_the_request_and_no_secret() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[("UNDERGIRD_LOG", "trace")]);
    let headers = [("Authorization", "Bearer ug_secret_canary1"), ("apikey", "canary2"), ("Cookie", "canary3")];
    let answer = running.send("POST", "/rest/v1/posts?apikey=canary4", &headers, b"{\"password\":\"canary5\"}");
    assert_eq!(answer.status, 401);
    let id = answer.header("X-Request-Id").unwrap().to_owned();
    let secret: serde_json::Value = serde_json::from_str(&said(&blog, &["keys", "--json"], &[]).1).unwrap();
    let errors = running.stop();
    let line = errors.lines().find(|line| line.contains(&id)).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["method"], &line["path"], &line["status"]),
        (&"POST".into(), &"/rest/v1/posts".into(), &401.into())
    );
    for canary in ["canary1", "canary2", "canary3", "canary4", "canary5", secret["secret_key"].as_str().unwrap()] {
        assert!(!errors.contains(canary), "{canary} in the log:\n{errors}");
    }
}

/// More connections than file descriptors: the rest waits, nobody is lost, and the process lives.
#[test]
#[cfg(target_os = "linux")]
fn running_out_of_file_descriptors_passes() {
    let blog = Folder::example("blog");
    said(&blog, &["keys"], &[]);
    assert_eq!(said(&blog, &["migrate"], &[]).0, 0);
    let binary = env!("CARGO_BIN_EXE_undergird");
    let script = format!("ulimit -n 64; exec {binary} serve --listen 127.0.0.1:0");
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(&blog.0)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let address: std::net::SocketAddr = line.trim().strip_prefix("ready http://").unwrap().parse().unwrap();
    let crowd: Vec<_> = (0..120).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it went down");
    drop(crowd);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /health/ready HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(Answer::read(stream).status, 200);
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let blog = Folder::example("blog");
    let running = Running::start(&blog, "dev", &[("UNDERGIRD_LIMITS_CONNECTIONS_PER_ADDRESS", "5")]);
    let mut open: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = running.connect();
            stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
            let mut some = [0u8; 16];
            stream.read_exact(&mut some).unwrap();
            stream
        })
        .collect();
    let mut refused = running.connect();
    let mut some = [0u8; 1];
    assert!(!matches!(refused.read(&mut some), Ok(1)), "the sixth is closed");
    open.pop();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(running.get("/health/live").status, 200);
    drop(open);
    running.stop();
}
