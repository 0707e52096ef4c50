//! Settings of the process itself.

use super::form::{OptionalKafkaName, Shown};
use super::http;
use super::reading::Reading;
use super::section::{Section, settings};

settings! {
    /// What the operator says about the name of the process.
    StatedInstance "instance" {
        id: Option<String> = None, OptionalKafkaName,
            "The name of this process, the same after a restart; none takes host name and port of \
             http.listen, or, where the system chooses the port, a name that is another one at each start.",
            "It names the member of a group in Kafka, and the lease of a poll is taken back by it.";
    }
}

/// Who this process is to the brokers and to the lease of a poll.
#[derive(Clone, Debug)]
pub struct InstanceSettings {
    pub id: String,
    /// Whether a restarted process will bear the same id, so that a static group membership makes sense.
    pub stable: bool,
}

impl Section for InstanceSettings {
    /// Names the process after its host and its port, which no two processes of one host share. A port that
    /// the system chooses is another one after a restart, so such a process gets a random name and no static
    /// membership.
    fn read(reading: &mut Reading<'_>) -> Self {
        if let Some(id) = StatedInstance::read(reading).id {
            return Self { id, stable: true };
        }
        let host = hostname();
        let made = match reading.peek(&http::DECLARED.listen).port() {
            0 => Self { id: format!("{host}-{:08x}", fastrand::u32(..)), stable: false },
            port => Self { id: format!("{host}-{port}"), stable: true },
        };
        reading.stands_for(&DECLARED.id, &Shown::Text(made.id.clone()));
        made
    }
}

/// Returns the name of this machine.
pub fn hostname() -> String {
    let stated = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_default();
    let clean: String =
        stated.trim().chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect();
    if clean.is_empty() { "localhost".to_owned() } else { clean }
}
