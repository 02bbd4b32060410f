//! Transactions over lists, as `adya` generates them, carried out by batches: a list is a head, which names the last value, and items,
//! each of which names the one before it. So an append is a read, an insert and an update that hang together, and a read is two.
//!
//! Absent: what the histories mean; that is `adya`'s.

use crate::nodes::{Http, Nodes, Reply};
use adya::r#gen::TxnOp;
use adya::run::{Client, Outcome};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How transactions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Each as one batch.
    Batch,
    /// Each step by itself: known to be no transaction.
    Apart,
}

/// What all clients of a run know.
pub struct Lists {
    pub nodes: Nodes,
    pub how: How,
    /// Lists whose heads are there for sure.
    made: Mutex<BTreeSet<i64>>,
    /// What must not be: lists whose head and items do not fit, answers that nothing explains.
    strange: Mutex<Vec<String>>,
    turn: AtomicUsize,
    done: AtomicUsize,
}

impl Lists {
    /// Lists with even numbers are made beforehand, the others by their first append.
    pub fn new(nodes: Nodes, how: How, lists: i64) -> Lists {
        let even: BTreeSet<i64> = (0..lists).filter(|list| list % 2 == 0).collect();
        let rows: Vec<Json> = even.iter().map(|list| json!({"list": list})).collect();
        let mut http = nodes.connect(0).unwrap();
        let made = http.ask("POST", "/rest/v1/heads", &[("Prefer", "return=minimal")], Some(&json!(rows))).unwrap();
        assert_eq!(made.status, 201, "{made:?}");
        Lists {
            nodes,
            how,
            made: Mutex::new(even),
            strange: Mutex::default(),
            turn: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }

    /// A client, of one node after the other.
    pub fn client(self: &std::sync::Arc<Self>) -> Result<Box<dyn Client>, adya::Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let http = self.nodes.connect(turn).map_err(adya::Error::new)?;
        Ok(Box::new(ListClient { lists: self.clone(), http }))
    }

    /// How many transactions are done.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// What must not be, as far as it was seen.
    pub fn strange(&self) -> Vec<String> {
        self.strange.lock().unwrap().clone()
    }

    fn report(&self, what: String) {
        self.strange.lock().unwrap().push(what);
    }
}

struct ListClient {
    lists: std::sync::Arc<Lists>,
    http: Http,
}

impl Client for ListClient {
    fn txn(&mut self, ops: &[TxnOp]) -> Outcome {
        let done = match self.lists.how {
            How::Batch => self.batch(ops),
            How::Apart => self.apart(ops),
        };
        if let Outcome::Ok(_) = done {
            self.lists.done.fetch_add(1, Ordering::Relaxed);
            let appended = ops.iter().filter_map(|op| if let TxnOp::Append(list, _) = op { Some(*list) } else { None });
            self.lists.made.lock().unwrap().extend(appended);
        }
        done
    }
}

impl ListClient {
    fn batch(&mut self, ops: &[TxnOp]) -> Outcome {
        let made = self.lists.made.lock().unwrap().clone();
        let steps: Vec<Json> = ops.iter().enumerate().flat_map(|(at, op)| steps(at, op, &made)).collect();
        let reply = match self.http.ask("POST", "/rest/v1/batch", &[], Some(&json!({"steps": steps}))) {
            Ok(reply) => reply,
            Err(lost) => return Outcome::Info(lost.to_string()),
        };
        if reply.is_conflict() {
            return Outcome::Fail("40001".into());
        }
        if reply.status != 200 {
            return self.unclear("POST /rest/v1/batch", &reply);
        }
        let json = reply.json();
        let answers: BTreeMap<&str, &Json> = json["answers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|answer| (answer["id"].as_str().unwrap_or_default(), &answer["body"]))
            .collect();
        let reads = ops.iter().enumerate().map(|(at, op)| {
            let TxnOp::Read(list) = op else { return None };
            Some(self.list(*list, answers[format!("head{at}").as_str()], answers[format!("items{at}").as_str()]))
        });
        Outcome::Ok(reads.collect())
    }

    /// An answer that does not say what became of the transaction; most of them must not be.
    fn unclear(&self, request: &str, reply: &Reply) -> Outcome {
        let text = format!("{request}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
        if reply.status != 503 {
            self.lists.report(text.clone());
        }
        Outcome::Info(text)
    }

    /// The same steps, one request each.
    fn apart(&mut self, ops: &[TxnOp]) -> Outcome {
        let mut reads = Vec::new();
        for (at, op) in ops.iter().enumerate() {
            let made = self.lists.made.lock().unwrap().clone();
            let mut answers: BTreeMap<String, Json> = BTreeMap::new();
            for mut step in steps(at, op, &made) {
                if let Some(prev) = step["body"].get_mut("prev") {
                    *prev = answers[&format!("head{at}")]["last"].clone();
                }
                let prefer = step["headers"]["Prefer"].as_str().unwrap_or("return=representation").to_owned();
                let (method, path) = (step["method"].as_str().unwrap(), step["path"].as_str().unwrap());
                let body = step.get("body").filter(|body| !body.is_null());
                match self.http.ask(method, path, &[("Prefer", &prefer)], body) {
                    Ok(reply) if (200..300).contains(&reply.status) => {
                        answers.insert(step["id"].as_str().unwrap_or_default().to_owned(), reply.json());
                    }
                    Ok(reply) => return self.unclear(&format!("{method} {path}"), &reply),
                    Err(lost) => return Outcome::Info(lost.to_string()),
                }
            }
            reads.push(match op {
                TxnOp::Read(list) => {
                    Some(self.list(*list, &answers[&format!("head{at}")], &answers[&format!("items{at}")]))
                }
                TxnOp::Append(..) | TxnOp::Write(..) => None,
            });
        }
        Outcome::Ok(reads)
    }

    /// A list from its head and its items, from the last back to the first.
    fn list(&self, list: i64, head: &Json, items: &Json) -> Vec<i64> {
        let number = |row: &Json, name: &str| row[name].as_i64().unwrap();
        let mut before: BTreeMap<i64, i64> =
            items.as_array().unwrap().iter().map(|item| (number(item, "value"), number(item, "prev"))).collect();
        let mut at = head.as_array().unwrap().first().map_or(0, |head| number(head, "last"));
        let mut values = Vec::new();
        while let Some(prev) = before.remove(&at) {
            values.push(at);
            at = prev;
        }
        if at != 0 || !before.is_empty() {
            self.lists.report(format!("list {list} is torn: {head} {items}"));
        }
        values.reverse();
        values
    }
}

/// The steps of one operation.
fn steps(at: usize, op: &TxnOp, made: &BTreeSet<i64>) -> Vec<Json> {
    match *op {
        TxnOp::Read(list) => vec![
            json!({"id": format!("head{at}"), "method": "GET", "path": format!("/rest/v1/heads?list=eq.{list}&select=last")}),
            json!({"id": format!("items{at}"), "method": "GET",
                "path": format!("/rest/v1/items?list=eq.{list}&select=value,prev")}),
        ],
        TxnOp::Append(list, value) | TxnOp::Write(list, value) => {
            let make = json!({"id": format!("make{at}"), "method": "POST", "path": "/rest/v1/heads",
                "headers": {"Prefer": "resolution=ignore-duplicates"}, "body": {"list": list}});
            // Some with the row in the answer, some without.
            let returned = if value % 2 == 0 { "return=minimal" } else { "return=representation" };
            let steps = [
                json!({"id": format!("head{at}"), "method": "GET", "path": format!("/rest/v1/heads/{list}")}),
                json!({"id": format!("item{at}"), "method": "POST", "path": "/rest/v1/items",
                    "headers": {"Prefer": returned},
                    "body": {"list": list, "value": value, "prev": {"$ref": format!("head{at}#/last")}}}),
                json!({"id": format!("last{at}"), "method": "PATCH", "path": format!("/rest/v1/heads/{list}"),
                    "headers": {"Prefer": returned}, "body": {"last": value}}),
            ];
            let make = (!made.contains(&list)).then_some(make);
            make.into_iter().chain(steps).collect()
        }
    }
}
