//! The way from here to a Service: its own address where that can be reached, else a port that is forwarded.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Tenant;

/// How long a Service's own address may take to answer.
const NEAR: Duration = Duration::from_secs(2);
/// How long it may refuse: the node learns of a pod that has become ready a little later.
const LEARNING: Duration = Duration::from_secs(20);

/// Where a Service is reached, as long as this lives.
pub struct Reach {
    /// Its address from here.
    pub address: SocketAddr,
    forward: Option<Child>,
}

impl Tenant {
    /// The way to a port of a Service.
    pub fn reach(&self, service: &str, port: u16) -> Reach {
        let found = self.json(&format!("service/{service}")).unwrap();
        let address: SocketAddr = format!("{}:{port}", found["spec"]["clusterIP"].as_str().unwrap()).parse().unwrap();
        if is_near(address) {
            return Reach { address, forward: None };
        }
        let mut command = Command::new("kubectl");
        command.args(["-n", &self.namespace, "port-forward", &format!("service/{service}"), &format!(":{port}")]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let local = line.split(" -> ").next().and_then(|text| text.rsplit(' ').next()).unwrap_or_default();
        let address = local.parse().unwrap_or_else(|_| panic!("kubectl port-forward said {line:?}"));
        Reach { address, forward: Some(child) }
    }
}

/// Whether a Service's own address answers from here.
fn is_near(address: SocketAddr) -> bool {
    let start = Instant::now();
    loop {
        match TcpStream::connect_timeout(&address, NEAR) {
            Ok(_) => return true,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && start.elapsed() < LEARNING => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(_) => return false,
        }
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        if let Some(mut forward) = self.forward.take() {
            let _ = forward.kill();
            let _ = forward.wait();
        }
    }
}
