//! What is known of a role: whether it is ready, and its metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// A role's own account of itself. Clones share it.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What the role waits for; none = it is ready.
    waits: Mutex<Option<&'static str>>,
    metrics: Mutex<Registry>,
}

impl Health {
    /// Of a role that has just started, and is not ready.
    pub fn starting() -> Self {
        let mut metrics = Registry::with_prefix("sealpost");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        metrics.register("build", "What runs", version);
        let health = Self(Arc::new(Inner { waits: Mutex::new(Some("starting")), metrics: Mutex::new(metrics) }));
        let weak = Arc::downgrade(&health.0);
        health.collect(move |out| {
            let ready = weak.upgrade().is_some_and(|inner| Health(inner).waits().is_none());
            gauge(out, "ready", "1 while the role does its work", u64::from(ready))
        });
        health
    }

    /// The role does its work.
    pub fn ready(&self) {
        *lock(&self.0.waits) = None;
    }

    /// The role does not do its work, and what it waits for.
    pub fn wait(&self, what: &'static str) {
        *lock(&self.0.waits) = Some(what);
    }

    /// What it waits for; none once it is ready.
    pub fn waits(&self) -> Option<&'static str> {
        *lock(&self.0.waits)
    }

    /// Adds metrics that the role counts as it goes.
    pub fn register<T>(&self, with: impl FnOnce(&mut Registry) -> T) -> T {
        with(&mut lock(&self.0.metrics))
    }

    /// Adds metrics that are looked up whenever they are asked for. `look` must not block.
    pub fn collect(
        &self,
        look: impl Fn(&mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> + Send + Sync + 'static,
    ) {
        lock(&self.0.metrics).register_collector(Box::new(Collect(look)));
    }

    /// All metrics, as OpenMetrics text.
    pub fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &lock(&self.0.metrics))?;
        Ok(text)
    }
}

/// Writes one number that goes up and down.
pub fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), std::fmt::Error> {
    let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    let encoder = out.encode_descriptor(name, help, None, value.metric_type())?;
    value.encode(encoder)
}

/// Metrics made by a function.
pub struct Collect<F>(pub F);

impl<F> std::fmt::Debug for Collect<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Collect")
    }
}

impl<F> Collector for Collect<F>
where
    F: Fn(&mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        (self.0)(&mut encoder)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
