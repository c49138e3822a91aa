//! Which ports `up` uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::bail;

use crate::args::Ports;
use crate::up::child::Endpoints;

/// IMAP over TLS: 993 above 1024. Further replicas add 1000 each.
const IMAPS: u16 = 1993;
/// IMAP with STARTTLS: 143.
const IMAP: u16 = 1143;
/// IMAP in clear text, `--dev-plain` only.
const IMAP_PLAIN: u16 = 1144;
/// SMTP: 25.
const MX: u16 = 2525;
/// The wire of primary 0.
const WIRE: u16 = 7700;

/// Chooses listener addresses.
#[derive(Debug, Clone, Copy)]
pub struct Chooser(pub Ports);

impl Chooser {
    /// The address for a listener: the one it had before, else the fixed one, else any free one.
    pub fn choose(self, name: &str, replica: u16, before: &Endpoints) -> SocketAddr {
        if let Some(address) = before.get(name) {
            return *address;
        }
        let port = match self.0 {
            Ports::Auto => 0,
            Ports::Fixed => fixed(name) + 1000 * replica,
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Fails where a fixed port is taken, naming it: better now than in a child's log.
    pub fn check(self, replicas: u16, dev_plain: bool) -> anyhow::Result<()> {
        if self.0 == Ports::Auto {
            return Ok(());
        }
        let plain = dev_plain.then_some("imap-plain");
        let imap =
            (0..replicas).flat_map(|replica| ["imaps", "imap"].into_iter().chain(plain).map(move |n| (n, replica)));
        for (name, replica) in imap.chain([("mx", 0), ("wire", 0)]) {
            let address = self.choose(name, replica, &Endpoints::new());
            if let Err(error) = TcpListener::bind(address) {
                bail!(
                    "cannot listen on {address} for {name}: {error}\n  stop what uses port {}, or let free ports be chosen with --ports auto",
                    address.port()
                );
            }
        }
        Ok(())
    }
}

fn fixed(name: &str) -> u16 {
    match name {
        "imaps" => IMAPS,
        "imap" => IMAP,
        "imap-plain" => IMAP_PLAIN,
        "mx" => MX,
        _ => WIRE,
    }
}
