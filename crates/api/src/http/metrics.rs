//! Figures for Prometheus, as OpenMetrics text. Labels are operations' names, methods of no client and statuses that we give: the
//! set is bounded by the definition, whatever clients send.

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;
use undergird_engine::observe::Stages;

/// Upper bounds of the durations' buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// What `Content-Type` says of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The name under which requests without an operation are counted.
const NO_OPERATION: &str = "none";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    operation: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    operation: String,
    stage: &'static str,
}

type Seconds = Counter<f64, AtomicU64>;

/// All figures of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<StatusLabels, Counter>,
    durations: Family<OperationLabel, Histogram, fn() -> Histogram>,
    stages: Family<StageLabels, Seconds>,
    /// Requests under way.
    pub in_flight: Gauge<i64, AtomicI64>,
    /// Requests that wait for their turn on the processor.
    pub waiting: Gauge<i64, AtomicI64>,
    /// Open connections.
    pub connections: Gauge<i64, AtomicI64>,
    /// Requests that were shed because of overload.
    pub shed: Counter,
    /// Requests with credentials that were not accepted.
    pub auth_failures: Counter,
    /// Requests that used a secret key.
    pub secret_key_uses: Counter,
    /// Panics caught in a handler.
    pub panics: Counter,
    none: Figures,
}

/// The figures of one operation, found once and then counted without a look-up by name.
#[derive(Clone, Debug)]
pub struct Figures(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    operation: String,
    requests: Family<StatusLabels, Counter>,
    by_status: Mutex<FxHashMap<u16, Counter>>,
    duration: Histogram,
    stages: [Seconds; undergird_engine::observe::STAGES.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("undergird");
        let requests = Family::<StatusLabels, Counter>::default();
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let durations = Family::new_with_constructor(histogram);
        let stages = Family::<StageLabels, Seconds>::default();
        let in_flight = Gauge::default();
        let waiting = Gauge::default();
        let connections = Gauge::default();
        let (shed, auth_failures, secret_key_uses, panics) =
            (Counter::default(), Counter::default(), Counter::default(), Counter::default());
        registry.register("requests", "Requests answered", requests.clone());
        registry.register("request_duration_seconds", "From a request's head to its answer's", durations.clone());
        registry.register("stage_seconds", "Time spent in each stage of requests", stages.clone());
        registry.register("requests_in_flight", "Requests under way", in_flight.clone());
        registry.register("requests_waiting", "Requests that wait for their turn on the processor", waiting.clone());
        registry.register("connections", "Open connections", connections.clone());
        registry.register("requests_shed", "Requests refused because of overload", shed.clone());
        registry.register("auth_failures", "Requests whose credentials were not accepted", auth_failures.clone());
        registry.register("secret_key_uses", "Requests made with a secret key", secret_key_uses.clone());
        registry.register("panics", "Panics caught in a handler", panics.clone());
        let none = Figures::new(NO_OPERATION, &requests, &durations, &stages);
        Metrics {
            registry,
            requests,
            durations,
            stages,
            in_flight,
            waiting,
            connections,
            shed,
            auth_failures,
            secret_key_uses,
            panics,
            none,
        }
    }

    /// The figures of an operation.
    pub fn figures(&self, operation: &str) -> Figures {
        Figures::new(operation, &self.requests, &self.durations, &self.stages)
    }

    /// The figures of requests that found no operation.
    pub fn without_operation(&self) -> &Figures {
        &self.none
    }

    /// Everything as OpenMetrics text, with the store's gauges (name, help, value).
    pub fn text(&self, gauges: &[(&'static str, &'static str, f64)]) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        let mut registry = Registry::with_prefix("undergird_store");
        for (name, help, value) in gauges {
            // The format ends the sentence itself.
            let help = help.trim_end_matches('.');
            match name.strip_suffix("_total") {
                Some(name) => registry.register(name, help, ConstCounter::new(*value)),
                None => registry.register(*name, help, ConstGauge::new(*value)),
            }
        }
        let mut store = String::new();
        let _ = encode(&mut store, &registry);
        let end = text.strip_suffix("# EOF\n").map_or(text.len(), str::len);
        text.truncate(end);
        text.push_str(&store);
        text
    }
}

impl Figures {
    fn new(
        operation: &str,
        requests: &Family<StatusLabels, Counter>,
        durations: &Family<OperationLabel, Histogram, fn() -> Histogram>,
        stages: &Family<StageLabels, Seconds>,
    ) -> Figures {
        let operation = operation.to_owned();
        let stages = undergird_engine::observe::STAGES.map(|stage| {
            stages.get_or_create_owned(&StageLabels { operation: operation.clone(), stage: stage.name() })
        });
        Figures(Arc::new(Inner {
            duration: durations.get_or_create_owned(&OperationLabel { operation: operation.clone() }),
            requests: requests.clone(),
            by_status: Mutex::default(),
            stages,
            operation,
        }))
    }

    /// Counts an answer.
    pub fn count(&self, status: u16, took: Duration, stages: &Stages) {
        let figures = &*self.0;
        figures
            .by_status
            .lock()
            .entry(status)
            .or_insert_with(|| {
                figures.requests.get_or_create_owned(&StatusLabels { operation: figures.operation.clone(), status })
            })
            .inc();
        figures.duration.observe(took.as_secs_f64());
        for ((_, time), counter) in stages.iter().zip(&figures.stages) {
            if !time.is_zero() {
                counter.inc_by(time.as_secs_f64());
            }
        }
    }
}
