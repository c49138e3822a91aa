//! Black-box tests on a real Kubernetes: real API server, kubelet, volumes and mail clients.
//!
//! `tests/e2e/cluster/run` finds or brings up a cluster, puts an image of this checkout on it, and runs them. They are
//! ignored otherwise; by hand they need `KUBECONFIG`, `kubectl` and `SEALPOST_E2E_IMAGE`.
//!
//! One topic a file, a namespace for each test. The operator is installed once, from `dist/install.yaml`; what people
//! apply is `config/samples` as it is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod harness;

mod admit_alias;
mod admit_backuppolicy;
mod admit_mailbox;
mod admit_mailboxbackup;
mod admit_mailboxrestore;
mod admit_mailserver;
mod backups;
mod chart;
mod connections;
mod first_mail;
mod gitops;
mod honest;
mod nothing_lost;
mod plugin;
mod zero_knowledge;
