//! What the commands share that ask the service for something and follow it to its end.

use std::time::Duration;

use nyc311_notation::parse_instant;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{AskError, ControlClient};
use super::exit::{self, CommandError};
use super::output;
use crate::config::Settings;
use crate::documents::{IdempotencyKey, KeyFault};

/// How often what is followed is asked for.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a service may be away while something is followed: a restart takes seconds, and what was asked
/// for outlives it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the service does for a while.
pub trait Followed: DeserializeOwned {
    /// Where it is shown.
    fn path(&self) -> String;

    /// The exit code, once it has ended.
    fn end(&self) -> Option<i32>;
}

/// Shows on the way what was last heard.
pub trait Shows<T> {
    fn show(&mut self, heard: &T);

    /// Says something beside it.
    fn note(&self, message: &str);
}

/// Checks a time and passes it on as written, since that is what the service compares repeated requests by.
pub fn moment(text: &str) -> Result<String, String> {
    parse_instant(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads a key as the service does. The header could not even be sent with other characters.
pub fn idempotency_key(text: &str) -> Result<IdempotencyKey, String> {
    IdempotencyKey::read(text).map_err(|fault| {
        let wrong = match fault {
            KeyFault::Character(c) => format!("has the character {c:?}"),
            KeyFault::Empty => "is empty".to_owned(),
            KeyFault::TooLong(characters) => format!("has {characters} characters"),
        };
        format!("{wrong}; write 1 to {} characters of printable ASCII", IdempotencyKey::MAX_CHARACTERS)
    })
}

/// Waits for the answer to a submission, until the deadline where there is one; `unknown` says what is not
/// known then.
pub async fn before<T>(
    deadline: Option<Instant>,
    submission: impl Future<Output = T>,
    settings: &Settings,
    unknown: &str,
) -> Result<T, CommandError> {
    let Some(deadline) = deadline else { return Ok(submission.await) };
    timeout_at(deadline, submission).await.map_err(|_| {
        let url = &settings.client.url;
        let detail = format!("--timeout passed before {url} answered, so {unknown}");
        CommandError::new(exit::UNREACHABLE, detail)
    })
}

/// Asks until it has ended, the deadline has passed or somebody interrupts; `followed` is what was last heard
/// of it. `hint` says how to hear of what goes on.
pub async fn follow_to_its_end<T: Followed, S: Shows<T>>(
    client: &ControlClient,
    followed: &mut T,
    deadline: Option<Instant>,
    mut shown: S,
    hint: &str,
) -> Result<(i32, S), CommandError> {
    let code = tokio::select! {
        code = follow(client, followed, deadline, &mut shown) => code?,
        _ = tokio::signal::ctrl_c() => exit::INTERRUPTED,
    };
    match code {
        exit::INTERRUPTED => shown.note(&format!("interrupted; {hint}")),
        exit::TIMEOUT => shown.note(&format!("--timeout passed; {hint}")),
        _ => {}
    }
    Ok((code, shown))
}

async fn follow<T: Followed>(
    client: &ControlClient,
    followed: &mut T,
    deadline: Option<Instant>,
    shown: &mut impl Shows<T>,
) -> Result<i32, CommandError> {
    let mut away_since: Option<Instant> = None;
    loop {
        shown.show(followed);
        if let Some(code) = followed.end() {
            return Ok(code);
        }
        let asked = async {
            sleep(INTERVAL).await;
            client.get(&followed.path()).await
        };
        let asked = match deadline {
            None => asked.await,
            Some(deadline) => match timeout_at(deadline, asked).await {
                Ok(asked) => asked,
                Err(_) => return Ok(exit::TIMEOUT),
            },
        };
        match asked {
            Ok(heard) => {
                away_since = None;
                *followed = heard;
            }
            Err(AskError::Away(detail) | AskError::Failing(detail))
                if away_since.is_none_or(|since| since.elapsed() < PATIENCE) =>
            {
                if away_since.is_none() {
                    shown.note(&format!("{detail}; trying again"));
                }
                away_since.get_or_insert_with(Instant::now);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Says a line when there is a new one to say.
#[derive(Default)]
pub struct Lines {
    last: String,
}

impl Lines {
    pub fn say(&mut self, line: String) {
        if line != self.last {
            output::note(&line);
            self.last = line;
        }
    }
}
