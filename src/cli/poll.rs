//! `nyc311 poll`: asks a running service for a poll and follows it to its end.

use std::time::Duration;

use clap::{Args, ValueEnum};
use nyc311_notation::{parse_instant, quantity};
use reqwest::Method;
use tokio::time::{Instant, timeout};

use super::client::ControlClient;
use super::exit::{self, CommandError};
use super::follow::{Followed, before, follow_to_its_end, idempotency_key, moment};
use super::output::{self, Format, OutputArgs, grouped, or_dash};
use super::progress::Progress;
use crate::config::Settings;
use crate::documents::{IdempotencyKey, PipelineDocument, PollDocument, PollRequest, SourceDocument};
use crate::poll::{PollState, Window, WindowOn};

/// How long the service may take to say where a poll begins.
const BEGINNING_WITHIN: Duration = Duration::from_secs(2);

/// Whose history is worth a warning.
const CITY: &str = "://data.cityofnewyork.us/";

#[derive(Debug, Args)]
pub struct PollArgs {
    /// Start of the window, inclusive: a time as 2026-01-31T00:00:00Z, or a date (midnight in New York)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// End of the window, exclusive
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Column that the window is on [default: updated_at]
    #[arg(long, value_name = "COLUMN", value_enum)]
    on: Option<On>,
    /// Repeating a command with the same key and window asks for the same poll; 1 to 512 printable ASCII
    /// characters
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<IdempotencyKey>,
    /// How long to submit and to follow; a poll that is queued goes on after it (exit code 75)
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    timeout: Option<Duration>,
    /// Submit only
    #[arg(long, conflicts_with = "timeout")]
    no_follow: bool,
    #[command(flatten)]
    form: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    #[value(name = "updated_at")]
    UpdatedAt,
    #[value(name = "created_date")]
    CreatedDate,
}

impl PollArgs {
    fn request(&self) -> PollRequest {
        PollRequest {
            since: self.since.clone(),
            until: self.until.clone(),
            on: self.on.map(|on| match on {
                On::UpdatedAt => WindowOn::UpdatedAt,
                On::CreatedDate => WindowOn::CreatedDate,
            }),
        }
    }
}

/// Refuses what the service would, without asking it.
fn check_window(request: &PollRequest) -> Result<(), CommandError> {
    let moment = |text: &Option<String>| text.as_deref().and_then(|text| parse_instant(text).ok());
    let window = Window {
        on: request.on.unwrap_or(WindowOn::UpdatedAt),
        since: moment(&request.since),
        until: moment(&request.until),
    };
    if window.is_empty() {
        return Err(CommandError::new(exit::USAGE, "--since is not before --until, so the window is empty"));
    }
    if window.on.needs_bound() && window.is_open() {
        return Err(CommandError::new(
            exit::USAGE,
            "--on created_date needs --since or --until: the durable cursor is a time of updated_at",
        ));
    }
    Ok(())
}

pub async fn run(args: &PollArgs, settings: &Settings) -> Result<i32, CommandError> {
    let asked = args.request();
    check_window(&asked)?;
    let body = serde_json::to_string(&asked)
        .map_err(|error| CommandError::new(exit::NO, format!("cannot write the request: {error}")))?;
    let client = ControlClient::new(settings)?;
    // What the clock cannot count to is never reached.
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let submission = client.ask::<PollDocument>(Method::POST, "/v1/polls", |request| {
        let request = request.header("content-type", "application/json").body(body);
        match &args.idempotency_key {
            Some(key) => request.header(IdempotencyKey::HEADER, key.as_str()),
            None => request,
        }
    });
    let beginning = async {
        if args.since.is_some() || args.until.is_some() {
            return None;
        }
        // What is not known in time is not worth waiting for.
        let asked = timeout(BEGINNING_WITHIN, client.get::<PipelineDocument>("/v1/pipeline")).await;
        asked.ok()?.ok()?.source
    };
    let submission = async { tokio::join!(submission, beginning) };
    let again = "`nyc311 status` shows it, and the same --idempotency-key asks for no second one";
    let (submitted, beginning) =
        before(deadline, submission, settings, &format!("the poll may be queued or not; {again}")).await?;
    let mut poll = submitted?;
    let id = poll.id;
    let poll_url = format!("{}/v1/polls/{id}", settings.client.url);
    let beginning = beginning.map(|source| beginning_in_words(&source, &poll_url));
    output::note(&format!("poll {id}"));
    beginning.iter().for_each(|beginning| output::note(beginning));
    if args.no_follow {
        show(&poll, args.form.output);
        return Ok(exit::DONE);
    }
    let hint = format!("the poll goes on, `nyc311 status {id}` shows it");
    let (code, progress) = follow_to_its_end(&client, &mut poll, deadline, Progress::start(), &hint).await?;
    progress.end();
    if code != exit::INTERRUPTED {
        show(&poll, args.form.output);
    }
    Ok(code)
}

/// Says what a poll without a window fetches, by the `source` of `/v1/pipeline`; `poll_url` is where it can
/// be cancelled.
fn beginning_in_words(source: &SourceDocument, poll_url: &str) -> String {
    match (source.published_updated_at, source.initial_since) {
        (Some(cursor), _) => format!("it fetches what changed since {cursor}, the durable cursor"),
        (None, Some(since)) => {
            format!(
                "it fetches what changed since {since}: there is no cursor yet, and this is poll.initial_since"
            )
        }
        (None, None) => {
            let url = &source.url;
            let (rows, remedy) = if url.contains(CITY) {
                let remedy = format!(
                    "; to take less, cancel it (curl -X DELETE {poll_url}) and set that, or poll with --since"
                );
                (", some 22 million rows", remedy)
            } else {
                ("", String::new())
            };
            format!(
                "it fetches the whole history that {url} has{rows}: there is no cursor yet, and poll.initial_since is not set{remedy}"
            )
        }
    }
}

impl Followed for PollDocument {
    fn path(&self) -> String {
        format!("/v1/polls/{}", self.id)
    }

    fn end(&self) -> Option<i32> {
        match self.state {
            PollState::Succeeded => Some(exit::DONE),
            PollState::Failed | PollState::Cancelled => Some(exit::NO),
            PollState::Queued | PollState::Running | PollState::Storing => None,
        }
    }
}

/// Writes a poll as the result of a command.
pub fn show(poll: &PollDocument, format: Format) {
    if format == Format::Json {
        return output::print_json(poll);
    }
    let (window, counts) = (&poll.window, &poll.counts);
    let mut lines = vec![
        ("poll", poll.id.to_string()),
        ("state", poll.state.to_string()),
        ("attempt", grouped(poll.attempt)),
        ("trigger", poll.trigger.to_string()),
    ];
    if let Some(position) = poll.queue_position {
        lines.push(("queue position", grouped(position)));
    }
    if window.since.is_none() && window.until.is_none() {
        lines.push(("window", "from the durable cursor on".to_owned()));
    } else {
        let (since, until) = (or_dash(window.since), or_dash(window.until));
        lines.push(("window", format!("{since} to {until} on {}", window.on)));
    }
    lines.extend([
        ("fetched", format!("{} in {} pages", grouped(counts.fetched), grouped(counts.pages))),
        (
            "published",
            format!(
                "{}, and {} again after a restart",
                grouped(counts.published),
                grouped(counts.republished)
            ),
        ),
        (
            "stored",
            format!(
                "{} new, {} known, {} enriched anew",
                grouped(counts.stored),
                grouped(counts.duplicate),
                grouped(counts.reenriched)
            ),
        ),
        ("dead letters", grouped(counts.dead_lettered)),
        ("newest update", or_dash(poll.newest.source_updated_at)),
        ("submitted", poll.created_at.to_string()),
        ("finished", or_dash(poll.finished_at)),
    ]);
    if let Some(error) = &poll.error {
        lines.push(("error", format!("{} in {}: {}", error.code, error.stage, error.detail)));
    }
    output::print_block(&output::pairs(&lines));
}
