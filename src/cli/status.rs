//! `nyc311 status`: a running service at a glance, or one poll.

use clap::Args;
use nyc311_notation::quantity;
use serde_json::{Value, json};

use super::client::ControlClient;
use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs, shown};
use super::poll;
use crate::config::Settings;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The poll to show; without it stages, partitions and the latest polls
    #[arg(value_name = "POLL", value_parser = poll_id)]
    poll: Option<uuid::Uuid>,
    /// How many polls to list
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = quantity::number(1..=500u16))]
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
        let answer = client.get(&format!("/v1/polls/{id}")).await?;
        poll::show(&answer.body, args.form.output);
        return Ok(exit::DONE);
    }
    let pipeline = client.get("/v1/pipeline").await?.body;
    let polls = client.get(&format!("/v1/polls?limit={}", args.limit)).await;
    let (polls, away) = match polls {
        Ok(answer) => (answer.body["polls"].clone(), None),
        Err(error) => (Value::Null, Some(CommandError::from(error))),
    };
    match args.form.output {
        Format::Json => output::print_json(&json!({"pipeline": pipeline, "polls": polls})),
        Format::Table => output::print_block(&tables(&pipeline, &polls)),
    }
    // The pipeline is worth showing also while the database, and so the polls, are away.
    away.map_or(Ok(exit::DONE), Err)
}

fn tables(pipeline: &Value, polls: &Value) -> String {
    let rows = |list: &Value, columns: &[&str]| -> Vec<Vec<String>> {
        let items = list.as_array().into_iter().flatten();
        items.map(|item| columns.iter().map(|column| shown(&item[*column])).collect()).collect()
    };
    let stages = ["name", "borough", "state", "generation", "restarts", "since", "last_error"];
    let partitions = ["topic", "partition", "position", "end", "lag"];
    let polls: Vec<Vec<String>> = polls
        .as_array()
        .into_iter()
        .flatten()
        .map(|poll| {
            let (fields, counts) =
                (["id", "state", "attempt", "trigger", "created_at"], ["fetched", "stored", "dead_lettered"]);
            fields
                .iter()
                .map(|name| shown(&poll[*name]))
                .chain(counts.iter().map(|name| shown(&poll["counts"][*name])))
                .collect()
        })
        .collect();
    format!(
        "{}\n\n{}\n{}\n{}",
        if pipeline["ready"] == true { "ready" } else { "not ready" },
        output::table(
            &["STAGE", "BOROUGH", "STATE", "GENERATION", "RESTARTS", "SINCE", "LAST ERROR"],
            &rows(&pipeline["stages"], &stages)
        ),
        output::table(
            &["TOPIC", "PARTITION", "POSITION", "END", "LAG"],
            &rows(&pipeline["partitions"], &partitions)
        ),
        output::table(
            &["POLL", "STATE", "ATTEMPT", "TRIGGER", "SUBMITTED", "FETCHED", "STORED", "DEAD LETTERS"],
            &polls
        )
    )
}
