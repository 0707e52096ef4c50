//! `nyc311 reconcile`: asks a running service for a reconciliation and follows it to its end.

use std::time::Duration;

use clap::Args;
use nyc311_notation::{parse_instant, quantity};
use reqwest::Method;
use tokio::time::Instant;

use super::client::ControlClient;
use super::exit::{self, CommandError};
use super::follow::{Followed, Lines, Shows, before, follow_to_its_end, idempotency_key, moment};
use super::output::{self, Format, OutputArgs, grouped, or_dash};
use crate::config::Settings;
use crate::documents::{
    IdempotencyKey, ReconciledMonthDocument, ReconciliationDocument, ReconciliationRequest,
};
use crate::reconciliation::{MonthAction, MonthState, ReconciliationState};

#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// A time in the first month: 2026-01-31T00:00:00Z, or a date (midnight in New York) [default: the first
    /// of all]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// End of the last month, or a time in it [default: the last of all]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Repeating a command with the same key and months asks for the same reconciliation; 1 to 512 printable
    /// ASCII characters
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<IdempotencyKey>,
    /// How long to submit and to follow; a reconciliation that is queued goes on after it (exit code 75)
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    timeout: Option<Duration>,
    /// Submit only
    #[arg(long, conflicts_with = "timeout")]
    detach: bool,
    #[command(flatten)]
    form: OutputArgs,
}

impl Followed for ReconciliationDocument {
    fn path(&self) -> String {
        format!("/v1/reconciliations/{}", self.id)
    }

    fn end(&self) -> Option<i32> {
        match self.state {
            ReconciliationState::Succeeded => Some(exit::DONE),
            ReconciliationState::Failed | ReconciliationState::Cancelled => Some(exit::NO),
            ReconciliationState::Queued
            | ReconciliationState::Comparing
            | ReconciliationState::Polling
            | ReconciliationState::Withdrawing => None,
        }
    }
}

impl Shows<ReconciliationDocument> for Lines {
    fn show(&mut self, heard: &ReconciliationDocument) {
        let differing = heard.months.iter().filter(|month| month.state == MonthState::Differs).count();
        self.say(match heard.state {
            ReconciliationState::Polling | ReconciliationState::Withdrawing => {
                let withdrawn = grouped(heard.withdrawn);
                format!("{}: {differing} months differ, {withdrawn} rows are withdrawn", heard.state)
            }
            state => state.to_string(),
        });
    }

    fn note(&self, message: &str) {
        output::note(message);
    }
}

pub async fn run(args: &ReconcileArgs, settings: &Settings) -> Result<i32, CommandError> {
    let asked = ReconciliationRequest { since: args.since.clone(), until: args.until.clone() };
    let stated = |text: &Option<String>| text.as_deref().and_then(|text| parse_instant(text).ok());
    if stated(&asked.since).zip(stated(&asked.until)).is_some_and(|(since, until)| since >= until) {
        let detail = "--since is not before --until, so there is no month to compare";
        return Err(CommandError::new(exit::USAGE, detail));
    }
    let body = serde_json::to_string(&asked)
        .map_err(|error| CommandError::new(exit::NO, format!("cannot write the request: {error}")))?;
    let client = ControlClient::new(settings)?;
    // What the clock cannot count to is never reached.
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let submission = client.ask::<ReconciliationDocument>(Method::POST, "/v1/reconciliations", |request| {
        let request = request.header("content-type", "application/json").body(body);
        match &args.idempotency_key {
            Some(key) => request.header(IdempotencyKey::HEADER, key.as_str()),
            None => request,
        }
    });
    let unknown =
        "the reconciliation may be queued or not; the same --idempotency-key asks for no second one";
    let mut reconciliation = before(deadline, submission, settings, unknown).await??;
    let path = reconciliation.path();
    output::note(&format!("reconciliation {}", reconciliation.id));
    if args.detach {
        show(&reconciliation, args.form.output);
        return Ok(exit::DONE);
    }
    let hint = format!("the reconciliation goes on, GET {}{path} shows it", settings.client.url);
    let (code, _) =
        follow_to_its_end(&client, &mut reconciliation, deadline, Lines::default(), &hint).await?;
    if code != exit::INTERRUPTED {
        show(&reconciliation, args.form.output);
    }
    Ok(code)
}

/// Writes a reconciliation as the result of the command: of the months those that something was done about or
/// that differ.
fn show(reconciliation: &ReconciliationDocument, format: Format) {
    if format == Format::Json {
        return output::print_json(reconciliation);
    }
    let months = &reconciliation.months;
    let agreeing = months.iter().filter(|month| month.state == MonthState::Agrees).count();
    let (since, until) = (or_dash(reconciliation.since), or_dash(reconciliation.until));
    let mut lines = vec![
        ("reconciliation", reconciliation.id.to_string()),
        ("state", reconciliation.state.to_string()),
        ("months", format!("{since} to {until}")),
        ("agreeing", format!("{agreeing} of {}", months.len())),
        ("withdrawn", grouped(reconciliation.withdrawn)),
        ("polls", grouped(i64::try_from(reconciliation.polls.len()).unwrap_or(i64::MAX))),
        ("submitted", reconciliation.created_at.to_string()),
        ("finished", or_dash(reconciliation.finished_at)),
    ];
    if let Some(error) = &reconciliation.error {
        lines.push(("error", format!("{}: {}", error.code, error.detail)));
    }
    output::print_block(&output::pairs(&lines));
    let told: Vec<Vec<String>> = months.iter().filter(|month| is_worth_telling(month)).map(cells).collect();
    if !told.is_empty() {
        let head =
            ["month", "source", "here", "dead letters", "source newest", "our newest", "action", "state"];
        output::print_block(&format!("\n{}", output::table(&head, &told)));
    }
}

fn is_worth_telling(month: &ReconciledMonthDocument) -> bool {
    month.state == MonthState::Differs || month.action != MonthAction::Nothing
}

fn cells(month: &ReconciledMonthDocument) -> Vec<String> {
    vec![
        month.month.clone(),
        grouped(month.source_count),
        grouped(month.our_count),
        grouped(month.dead_lettered),
        or_dash(month.source_newest),
        or_dash(month.our_newest),
        month.action.to_string(),
        month.state.to_string(),
    ]
}
