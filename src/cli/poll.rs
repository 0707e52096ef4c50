//! `nyc311 poll`: asks a running service for a poll and follows it to its end.

use std::time::Duration;

use clap::{Args, ValueEnum};
use nyc311_notation::{parse_instant, quantity};
use reqwest::Method;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::{AskError, ControlClient};
use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use super::progress::Progress;
use crate::config::Settings;

/// How often a running poll is asked for.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a service may be away while a poll is followed: a restart takes seconds, and the poll outlives it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the service may take to say where a poll begins.
const BEGINNING_WITHIN: Duration = Duration::from_secs(2);

/// Whose history is worth a warning.
const CITY: &str = "://data.cityofnewyork.us/";

const KEY_MAX_CHARACTERS: usize = 512;

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
    /// Repeating a command with the same key and window asks for the same poll; 1 to 512 printable ASCII characters
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
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

/// Checks a time and passes it on as written, since that is what the service compares repeated requests by.
fn moment(text: &str) -> Result<String, String> {
    parse_instant(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Checks a key as the service does. The header could not even be sent with other characters.
fn idempotency_key(text: &str) -> Result<String, String> {
    let wrong = match text.chars().find(|c| !(' '..='~').contains(c)) {
        Some(c) => format!("has the character {c:?}"),
        None if text.is_empty() => "is empty".to_owned(),
        None if text.len() > KEY_MAX_CHARACTERS => format!("has {} characters", text.len()),
        None => return Ok(text.to_owned()),
    };
    Err(format!("{wrong}; write 1 to {KEY_MAX_CHARACTERS} characters of printable ASCII"))
}

impl PollArgs {
    fn body(&self) -> Value {
        let on = self.on.map(|on| if on == On::CreatedDate { "created_date" } else { "updated_at" });
        let fields = [("since", self.since.as_deref()), ("until", self.until.as_deref()), ("on", on)];
        let stated =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
        Value::Object(stated.collect::<Map<_, _>>())
    }
}

/// Refuses what the service would, without asking it.
fn check_window(args: &PollArgs) -> Result<(), CommandError> {
    let moment = |text: &Option<String>| text.as_deref().and_then(|text| parse_instant(text).ok());
    if let (Some(since), Some(until)) = (moment(&args.since), moment(&args.until))
        && since >= until
    {
        return Err(CommandError::new(exit::USAGE, "--since is not before --until, so the window is empty"));
    }
    if args.on == Some(On::CreatedDate) && args.since.is_none() && args.until.is_none() {
        return Err(CommandError::new(
            exit::USAGE,
            "--on created_date needs --since or --until: the durable cursor is a time of updated_at",
        ));
    }
    Ok(())
}

pub async fn run(args: &PollArgs, settings: &Settings) -> Result<i32, CommandError> {
    check_window(args)?;
    let client = ControlClient::new(settings)?;
    // What the clock cannot count to is never reached.
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let submission = client.ask(Method::POST, "/v1/polls", |request| {
        let request = request.header("content-type", "application/json").body(args.body().to_string());
        match &args.idempotency_key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        }
    });
    let beginning = async {
        if args.since.is_some() || args.until.is_some() {
            return None;
        }
        // What is not known in time is not worth waiting for.
        let asked = timeout(BEGINNING_WITHIN, client.get("/v1/pipeline")).await;
        Some(asked.ok()?.ok()?.body["source"].clone())
    };
    let submission = async { tokio::join!(submission, beginning) };
    let (submitted, beginning) = match deadline {
        None => submission.await,
        Some(deadline) => match timeout_at(deadline, submission).await {
            Ok(answers) => answers,
            Err(_) => {
                let detail = format!(
                    "--timeout passed before {} answered, so the poll may be queued or not; `nyc311 status` shows it, and the same --idempotency-key asks for no second one",
                    settings.client.url
                );
                return Err(CommandError::new(exit::UNREACHABLE, detail));
            }
        },
    };
    let mut poll = submitted?.body;
    let Some(id) = poll["id"].as_str().map(str::to_owned) else {
        return Err(CommandError::new(
            exit::UNREACHABLE,
            "the answer names no poll; does client.url name a service of nyc311?",
        ));
    };
    let poll_url = format!("{}/v1/polls/{id}", settings.client.url);
    let beginning = beginning.and_then(|source| beginning_in_words(&source, &poll_url));
    output::note(&format!("poll {id}"));
    beginning.iter().for_each(|beginning| output::note(beginning));
    if args.no_follow {
        show(&poll, args.form.output);
        return Ok(exit::DONE);
    }
    let mut progress = Progress::start();
    let code = tokio::select! {
        followed = follow(&client, &id, &mut poll, deadline, &mut progress) => followed?,
        _ = tokio::signal::ctrl_c() => exit::INTERRUPTED,
    };
    progress.end();
    match code {
        exit::INTERRUPTED => {
            output::note(&format!("interrupted; the poll goes on, `nyc311 status {id}` shows it"))
        }
        exit::TIMEOUT => {
            output::note(&format!("--timeout passed; the poll goes on, `nyc311 status {id}` shows it"));
            show(&poll, args.form.output);
        }
        _ => show(&poll, args.form.output),
    }
    Ok(code)
}

/// Says what a poll without a window fetches, by the `source` of `/v1/pipeline`; `poll_url` is where it can be cancelled.
fn beginning_in_words(source: &Value, poll_url: &str) -> Option<String> {
    let field = |name: &str| source[name].as_str();
    Some(match (field("published_updated_at"), field("initial_since")) {
        (Some(cursor), _) => format!("it fetches what changed since {cursor}, the durable cursor"),
        (None, Some(since)) => {
            format!(
                "it fetches what changed since {since}: there is no cursor yet, and this is poll.initial_since"
            )
        }
        (None, None) => {
            let url = field("url")?;
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
    })
}

/// Asks for the poll until it has ended; `poll` is what was last heard of it.
async fn follow(
    client: &ControlClient,
    id: &str,
    poll: &mut Value,
    deadline: Option<Instant>,
    progress: &mut Progress,
) -> Result<i32, CommandError> {
    let mut away_since: Option<Instant> = None;
    loop {
        progress.show(poll);
        match poll["state"].as_str() {
            Some("succeeded") => return Ok(exit::DONE),
            Some("failed" | "cancelled") => return Ok(exit::NO),
            _ => {}
        }
        let asked = async {
            sleep(INTERVAL).await;
            client.get(&format!("/v1/polls/{id}")).await
        };
        let asked = match deadline {
            None => asked.await,
            Some(deadline) => match timeout_at(deadline, asked).await {
                Ok(asked) => asked,
                Err(_) => return Ok(exit::TIMEOUT),
            },
        };
        match asked {
            Ok(answer) => {
                away_since = None;
                *poll = answer.body;
            }
            Err(AskError::Away(detail) | AskError::Failing(detail))
                if away_since.is_none_or(|since| since.elapsed() < PATIENCE) =>
            {
                if away_since.is_none() {
                    progress.note(&format!("{detail}; trying again"));
                }
                away_since.get_or_insert_with(Instant::now);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes a poll as the result of a command.
pub fn show(poll: &Value, format: Format) {
    if format == Format::Json {
        return output::print_json(poll);
    }
    let text = |value: &Value| output::shown(value);
    let (window, counts) = (&poll["window"], &poll["counts"]);
    let count = |name: &str| text(&counts[name]);
    let mut lines = vec![
        ("poll", text(&poll["id"])),
        ("state", text(&poll["state"])),
        ("attempt", text(&poll["attempt"])),
        ("trigger", text(&poll["trigger"])),
    ];
    if !poll["queue_position"].is_null() {
        lines.push(("queue position", text(&poll["queue_position"])));
    }
    if window["since"].is_null() && window["until"].is_null() {
        lines.push(("window", "from the durable cursor on".to_owned()));
    } else {
        let [on, since, until] = ["on", "since", "until"].map(|name| text(&window[name]));
        lines.push(("window", format!("{since} to {until} on {on}")));
    }
    lines.extend([
        ("fetched", format!("{} in {} pages", count("fetched"), count("pages"))),
        ("published", format!("{}, and {} again after a restart", count("published"), count("republished"))),
        (
            "stored",
            format!(
                "{} new, {} known, {} enriched anew",
                count("stored"),
                count("duplicate"),
                count("reenriched")
            ),
        ),
        ("dead letters", count("dead_lettered")),
        ("newest update", text(&poll["newest"]["source_updated_at"])),
        ("submitted", text(&poll["created_at"])),
        ("finished", text(&poll["finished_at"])),
    ]);
    let error = &poll["error"];
    if !error.is_null() {
        let [code, stage, detail] = ["code", "stage", "detail"].map(|name| text(&error[name]));
        lines.push(("error", format!("{code} in {stage}: {detail}")));
    }
    output::print_block(&output::pairs(&lines));
}
