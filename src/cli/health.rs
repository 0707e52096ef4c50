//! `nyc311 health`: whether a running service is ready, for people and for container probes.

use clap::Args;

use super::client::ControlClient;
use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use crate::config::Settings;
use crate::documents::{HealthDocument, ReadinessDocument};
use crate::screen;

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Ask only whether the process answers, not whether it is ready
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    form: OutputArgs,
}

/// Ends with 0 for yes, 1 for no.
pub async fn run(args: &HealthArgs, settings: &Settings) -> Result<i32, CommandError> {
    let client = ControlClient::new(settings)?;
    if args.live {
        let alive = client.get::<HealthDocument>("/healthz").await?;
        match args.form.output {
            Format::Json => output::print_json(&alive),
            Format::Table => output::print("alive"),
        }
        return Ok(exit::DONE);
    }
    let readiness = client.get::<ReadinessDocument>("/readyz").await?;
    match args.form.output {
        Format::Json => output::print_json(&readiness),
        Format::Table => output::print(&in_words(&readiness)),
    }
    Ok(if readiness.ready { exit::DONE } else { exit::NO })
}

fn in_words(readiness: &ReadinessDocument) -> String {
    let armed = match readiness.faults_armed.as_slice() {
        [] => String::new(),
        armed => format!("; faults are armed on purpose: {}", armed.join(", ")),
    };
    if readiness.ready {
        return format!("ready{armed}");
    }
    let waiting = readiness.missing.iter().map(|name| match readiness.reasons.get(name) {
        Some(why) => format!("waits for {name} ({})", screen::line(why)),
        None => format!("waits for {name}"),
    });
    let stages = readiness.stages.iter().map(|(name, state)| format!("{name} is {state}"));
    let stalled = readiness.stalled.iter().map(|partition| {
        let number = output::or_dash(partition.partition.map(output::grouped));
        format!("{}/{number} makes no progress", partition.topic)
    });
    let reasons: Vec<String> = waiting.chain(stages).chain(stalled).collect();
    format!("not ready: {}{armed}", reasons.join(", "))
}
