//! `nyc311 status`: a running service at a glance, or one poll.

use clap::Args;
use nyc311_notation::quantity;
use serde_json::json;

use super::client::ControlClient;
use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs, grouped, or_dash};
use super::poll;
use crate::config::Settings;
use crate::documents::{LIST_MAX, PipelineDocument, PollDocument, PollListDocument};
use crate::screen;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The poll to show; without it stages, partitions and the latest polls
    #[arg(value_name = "POLL", value_parser = poll_id)]
    poll: Option<uuid::Uuid>,
    /// How many polls to list
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = quantity::number(1..=LIST_MAX))]
    limit: u16,
    #[command(flatten)]
    form: OutputArgs,
}

fn poll_id(text: &str) -> Result<uuid::Uuid, String> {
    text.parse().map_err(|_| "is not the id of a poll; `nyc311 status` lists them".to_owned())
}

pub async fn run(args: &StatusArgs, settings: &Settings) -> Result<i32, CommandError> {
    let client = ControlClient::new(settings)?;
    if let Some(id) = args.poll {
        let poll = client.get(&format!("/v1/polls/{id}")).await?;
        poll::show(&poll, args.form.output);
        return Ok(exit::DONE);
    }
    let pipeline = client.get::<PipelineDocument>("/v1/pipeline").await?;
    let polls = client.get::<PollListDocument>(&format!("/v1/polls?limit={}", args.limit)).await;
    let (polls, away) = match polls {
        Ok(list) => (Some(list.polls), None),
        Err(error) => (None, Some(CommandError::from(error))),
    };
    match args.form.output {
        Format::Json => output::print_json(&json!({"pipeline": pipeline, "polls": polls})),
        Format::Table => output::print_block(&tables(&pipeline, polls.as_deref().unwrap_or_default())),
    }
    // The pipeline is worth showing also while the database, and so the polls, are away.
    away.map_or(Ok(exit::DONE), Err)
}

fn tables(pipeline: &PipelineDocument, polls: &[PollDocument]) -> String {
    let stages = pipeline.stages.iter().map(|stage| {
        vec![
            stage.name.clone(),
            or_dash(stage.borough.as_ref()),
            stage.state.to_string(),
            grouped(stage.generation),
            grouped(stage.restarts),
            stage.since.to_string(),
            or_dash(stage.last_error.as_ref()),
        ]
    });
    let partitions = pipeline.partitions.iter().map(|partition| {
        vec![
            partition.topic.clone(),
            grouped(partition.partition),
            or_dash(partition.position.map(grouped)),
            or_dash(partition.end.map(grouped)),
            or_dash(partition.lag.map(grouped)),
        ]
    });
    let polls = polls.iter().map(|poll| {
        vec![
            poll.id.to_string(),
            poll.state.to_string(),
            grouped(poll.attempt),
            poll.trigger.to_string(),
            poll.created_at.to_string(),
            grouped(poll.counts.fetched),
            grouped(poll.counts.stored),
            grouped(poll.counts.dead_lettered),
        ]
    });
    let armed = pipeline.faults_armed.iter().map(|fault| format!("\nfault armed: {}", screen::line(fault)));
    format!(
        "{}{}\n\n{}\n{}\n{}",
        if pipeline.ready { "ready" } else { "not ready" },
        armed.collect::<String>(),
        output::table(
            &["STAGE", "BOROUGH", "STATE", "GENERATION", "RESTARTS", "SINCE", "LAST ERROR"],
            &stages.collect::<Vec<_>>()
        ),
        output::table(&["TOPIC", "PARTITION", "POSITION", "END", "LAG"], &partitions.collect::<Vec<_>>()),
        output::table(
            &["POLL", "STATE", "ATTEMPT", "TRIGGER", "SUBMITTED", "FETCHED", "STORED", "DEAD LETTERS"],
            &polls.collect::<Vec<_>>()
        )
    )
}
