//! `nyc311 fault`: breaks a running service on purpose, shows what is armed there, and ends it.

use clap::{Args, Subcommand};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::client::ControlClient;
use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs, grouped, or_dash};
use crate::config::Settings;
use crate::documents::{FaultDocument, FaultListDocument};
use crate::faults::FaultRequest;

#[derive(Debug, Args)]
pub struct FaultArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Arm a fault at a point or in a stage
    Add(AddArgs),
    /// Show what is armed, what has ended, and the names of points and stages
    List(ListArgs),
    /// End one fault, or all
    Clear(ClearArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Where: a point as writer:commit:before, or a stage as writer; `nyc311 fault list --names` has all
    #[arg(value_name = "POINT|STAGE")]
    target: String,
    /// What: panic, error, delay, hang or abort; of a stage also kill; of the stage enricher also corrupt
    #[arg(value_name = "FAULT")]
    fault: String,
    /// How the call fails, with the fault error at a point, as timeout or deadlock [default: refused]
    #[arg(long, value_name = "FAILURE")]
    error: Option<String>,
    /// How long, with the fault delay, as 500ms
    #[arg(long, value_name = "DURATION")]
    delay: Option<String>,
    /// How many visits pass first [default: 0]
    #[arg(long, value_name = "N")]
    skip: Option<u64>,
    /// Of the visits behind those, every which one is meant [default: 1]
    #[arg(long, value_name = "N")]
    every: Option<u64>,
    /// How often it strikes [default: 1]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How likely a visit that is meant is struck, above 0 and at most 1
    #[arg(long, value_name = "P", value_parser = probability)]
    probability: Option<f64>,
    /// The same seed strikes the same visits [default: chosen]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// After which it ends by itself, up to 1h [default: 5m]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
    #[command(flatten)]
    form: OutputArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Show the names of points and stages too; JSON always has them
    #[arg(long)]
    names: bool,
    #[command(flatten)]
    form: OutputArgs,
}

#[derive(Debug, Args)]
struct ClearArgs {
    /// The fault to end; without it all of them
    #[arg(value_name = "ID")]
    id: Option<u64>,
}

/// Reads a probability here, since JSON has no word for a number that is none.
fn probability(written: &str) -> Result<f64, String> {
    let number = written.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= 1.0);
    number.ok_or_else(|| "not a number above 0 and at most 1".to_owned())
}

impl AddArgs {
    fn request(&self) -> FaultRequest {
        let mut request = FaultRequest {
            fault: Some(self.fault.clone()),
            error: self.error.clone(),
            delay: self.delay.clone(),
            skip: self.skip,
            every: self.every,
            count: self.count,
            probability: self.probability,
            seed: self.seed,
            expires_in: self.expires_in.clone(),
            ..FaultRequest::default()
        };
        request.place(&self.target);
        request
    }
}

pub async fn run(args: &FaultArgs, settings: &Settings) -> Result<i32, CommandError> {
    let client = ControlClient::new(settings)?;
    match &args.action {
        Action::Add(args) => {
            let body = serde_json::to_string(&args.request())
                .map_err(|error| CommandError::new(exit::NO, format!("cannot write the request: {error}")))?;
            let armed: FaultDocument = client
                .ask(Method::POST, "/v1/faults", |request| {
                    request.header(CONTENT_TYPE, "application/json").body(body)
                })
                .await?;
            match args.form.output {
                Format::Json => output::print_json(&armed),
                Format::Table => output::print_block(&table(&[armed])),
            }
        }
        Action::List(args) => {
            let list = client.get::<FaultListDocument>("/v1/faults").await?;
            match args.form.output {
                Format::Json => output::print_json(&list),
                Format::Table => output::print_block(&tables(list, args.names)),
            }
        }
        Action::Clear(ClearArgs { id }) => {
            let path = id.map_or_else(|| "/v1/faults".to_owned(), |id| format!("/v1/faults/{id}"));
            client.tell(Method::DELETE, &path).await?;
            output::print("cleared");
        }
    }
    Ok(exit::DONE)
}

fn tables(list: FaultListDocument, names: bool) -> String {
    let faults: Vec<_> = list.faults.into_iter().chain(list.ended).collect();
    let mut text = table(&faults);
    if names {
        let points = list.points.iter().map(|point| vec![point.name.clone(), point.errors.join(", ")]);
        let stages = list.stages.into_iter().map(|stage| vec![stage]);
        text.push('\n');
        text.push_str(&output::table(&["POINT", "FAILURES"], &points.collect::<Vec<_>>()));
        text.push('\n');
        text.push_str(&output::table(&["STAGE"], &stages.collect::<Vec<_>>()));
    }
    text
}

fn table(faults: &[FaultDocument]) -> String {
    let rows = faults.iter().map(|fault| {
        let detail = fault.error.as_ref().or(fault.delay.as_ref());
        vec![
            grouped(fault.id),
            or_dash(fault.point.as_ref().or(fault.stage.as_ref())),
            detail.map_or_else(|| fault.fault.clone(), |detail| format!("{}:{detail}", fault.fault)),
            fault.state.clone(),
            grouped(fault.visits),
            grouped(fault.hits),
            grouped(fault.count),
            or_dash(fault.seed),
            fault.ends_at.to_string(),
        ]
    });
    let head = ["FAULT", "WHERE", "WHAT", "STATE", "VISITS", "HITS", "OF", "SEED", "ENDS"];
    output::table(&head, &rows.collect::<Vec<_>>())
}
