//! What the operator counts.

use probes::Health;
use probes::prometheus::metrics::counter::Counter;
use probes::prometheus::metrics::family::Family;
use probes::prometheus::metrics::gauge::Gauge;

/// Counters of one process.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// 1 while this operator leads.
    pub leads: Gauge,
    passes: Family<[(&'static str, &'static str); 1], Counter>,
    writes: Family<[(&'static str, &'static str); 1], Counter>,
}

/// How a pass over a MailServer ended.
#[derive(Debug, Clone, Copy)]
pub enum Ended {
    /// Nothing is left to do.
    Settled,
    /// Something is missing that comes by itself, or that a person has to mend.
    Waiting,
    /// It broke off.
    Failed,
}

/// What was written to the API server, beside the Lease.
#[derive(Debug, Clone, Copy)]
pub enum Wrote {
    /// An object that a MailServer consists of.
    Child,
    /// A status.
    Status,
}

impl Metrics {
    /// Counts from zero.
    pub fn register(health: &Health) -> Self {
        let (leads, passes, writes) = (Gauge::default(), Family::default(), Family::default());
        health.register(|registry| {
            registry.register("operator_leads", "1 while this operator leads", leads.clone());
            registry.register("operator_passes", "Passes over a MailServer, by how they ended", passes.clone());
            registry.register("operator_writes", "Objects written, by what they are", writes.clone());
        });
        Self { leads, passes, writes }
    }

    /// A pass is over.
    pub fn passed(&self, how: Ended) {
        let how = match how {
            Ended::Settled => "settled",
            Ended::Waiting => "waiting",
            Ended::Failed => "failed",
        };
        self.passes.get_or_create(&[("result", how)]).inc();
    }

    /// Something was written.
    pub fn wrote(&self, what: Wrote) {
        let what = match what {
            Wrote::Child => "child",
            Wrote::Status => "status",
        };
        self.writes.get_or_create(&[("what", what)]).inc();
    }
}
