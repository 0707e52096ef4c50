//! What the simulator is told on the command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use nyc311_notation::{parse_instant, quantity};

use crate::faults::Fault;

/// Serves NDJSON files, or a generated city, as the Socrata API does.
#[derive(Args, Clone, Debug)]
pub struct SimulatorOptions {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8312", value_parser = address)]
    pub listen: SocketAddr,

    /// Rows in API shape, .ndjson or .ndjson.gz; may be given several times
    #[arg(long, value_name = "PATH", conflicts_with_all = ["rows", "seed", "rows_per_day"])]
    pub file: Vec<PathBuf>,

    /// Requests of the generated city
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = quantity::number(0..=u64::MAX))]
    pub rows: u64,

    /// The same seed makes the same city
    #[arg(long, value_name = "S", default_value_t = 311, value_parser = quantity::number(0..=u64::MAX))]
    pub seed: u64,

    /// Requests that the generated city makes on an average day
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = quantity::number(1..=u64::MAX))]
    pub rows_per_day: u64,

    /// Serve every version of a row, not only the newest that the clock has reached
    #[arg(long)]
    pub every_version: bool,

    /// Time that the clock shows at the start, as 2026-01-31T00:00:00Z [default: three hours after the last
    /// row has become visible]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub clock: Option<Timestamp>,

    /// Simulated seconds per second; 0 stands still
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = quantity::number(0.0..=1e9))]
    pub clock_rate: f64,

    /// How far each answered page moves the clock
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = quantity::duration)]
    pub clock_step: Duration,

    /// Rows of a night become visible up to so much after their :updated_at
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = quantity::duration)]
    pub visible_after: Duration,

    /// Refuse requests without this app token
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,

    /// Arm a fault: KIND[,count=N][,skip=N][,every=N]..., see docs/simulator.md; may be given several times
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<Fault>,

    /// Compress answers for clients that accept it; costs more than sending them on one machine
    #[arg(long)]
    pub gzip: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    parse_instant(text).map_err(|error| error.to_string())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "is not an IP address and a port, as 127.0.0.1:8312 or [::]:0".to_owned())
}

impl Default for SimulatorOptions {
    /// Returns the command line's defaults, but for a free port.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            file: Vec::new(),
            rows: 200_000,
            seed: 311,
            rows_per_day: 10_000,
            every_version: false,
            clock: None,
            clock_rate: 0.0,
            clock_step: Duration::ZERO,
            visible_after: Duration::ZERO,
            token: None,
            fault: Vec::new(),
            gzip: false,
        }
    }
}
