//! `nyc311 health`: whether a running service is ready, for people and for container probes.

use clap::Args;

use super::client::ControlClient;
use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use crate::config::Settings;

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
    let answer = client.get(if args.live { "/healthz" } else { "/readyz" }).await?;
    if args.form.output == Format::Json {
        output::print_json(&answer.body);
    } else if args.live {
        output::print("alive");
    } else if answer.body["ready"] == true {
        output::print("ready");
    } else {
        let missing: Vec<String> =
            answer.body["missing"].as_array().into_iter().flatten().map(output::shown).collect();
        let stages = answer.body["stages"].as_object().into_iter().flatten();
        let stages: Vec<String> =
            stages.map(|(name, state)| format!("{name} is {}", output::shown(state))).collect();
        let waiting = missing.iter().map(|name| format!("waits for {name}"));
        let stalled = answer.body["stalled"].as_array().into_iter().flatten().map(|partition| {
            let (topic, number) =
                (output::shown(&partition["topic"]), output::shown(&partition["partition"]));
            format!("{topic}/{number} makes no progress")
        });
        let reasons: Vec<String> = waiting.chain(stages).chain(stalled).collect();
        output::print(&format!("not ready: {}", reasons.join(", ")));
    }
    Ok(if answer.status == 200 { exit::DONE } else { exit::NO })
}
