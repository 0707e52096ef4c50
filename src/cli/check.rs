//! `nyc311 check`: tries source, broker and database, and says what is wrong and how to mend it.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use crate::config::{KafkaSettings, Settings, SourceSettings};
use crate::error_policy::Directive;
use crate::kafka::{Admin, KafkaError, MEND_ADDRESS, topics, try_clients};
use crate::socrata::{PageRequest, SocrataClient, SocrataError, WindowOn};
use crate::store::{Store, StoreError};

/// How long one part may take to answer; the settings' own patience is meant for a pipeline, not for somebody
/// who waits.
const WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    form: OutputArgs,
}

/// What was found out about one part.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    ok: bool,
    detail: String,
    remedy: Option<String>,
}

impl Finding {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, ok: true, detail: detail.into(), remedy: None }
    }

    fn fault(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, ok: false, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// Ends with 0 when all parts are well and 1 when a fault was found.
pub async fn run(args: &CheckArgs, settings: &Settings) -> Result<i32, CommandError> {
    let (source, kafka, database) =
        tokio::join!(check_source(&settings.source), check_kafka(settings), check_database(settings));
    let findings = [source, kafka, database];
    let ok = findings.iter().all(|finding| finding.ok);
    match args.form.output {
        Format::Json => output::print_json(&json!({"ok": ok, "checks": findings})),
        Format::Table => {
            for finding in &findings {
                output::print(&format!(
                    "{:<9} {:<6} {}",
                    finding.name,
                    if finding.ok { "ok" } else { "fault" },
                    finding.detail
                ));
                if let Some(remedy) = &finding.remedy {
                    output::print(&format!("{:<17}{remedy}", ""));
                }
            }
        }
    }
    Ok(if ok { exit::DONE } else { exit::NO })
}

async fn check_source(settings: &SourceSettings) -> Finding {
    const NAME: &str = "source";
    // One attempt: whoever checks wants to hear of the first error.
    let settings = SourceSettings { retry_max_elapsed: Duration::ZERO, ..settings.clone() };
    let client = match SocrataClient::new(&settings, Arc::new(|_| {})) {
        Ok(client) => client,
        Err(error) => return Finding::fault(NAME, error.to_string(), "mend the setting"),
    };
    let request = PageRequest { on: WindowOn::UpdatedAt, since: None, until: None, after: None, limit: 1 };
    let error = match tokio::time::timeout(WITHIN, client.fetch_page(&request)).await {
        Ok(Ok(page)) if page.is_empty() => {
            return Finding::good(NAME, format!("{} answers, and has no rows", settings.url));
        }
        Ok(Ok(_)) => return Finding::good(NAME, format!("{} answers with rows", settings.url)),
        Ok(Err(error)) => error,
        Err(_) => {
            SocrataError::TimedOut { detail: format!("no row within {} s", WITHIN.as_secs()), source: None }
        }
    };
    let remedy = error.policy().remedy.unwrap_or("mend source.url");
    Finding::fault(NAME, format!("{error} ({})", settings.url), remedy)
}

async fn check_kafka(settings: &Settings) -> Finding {
    const NAME: &str = "kafka";
    let tried = try_clients(settings);
    let settings = KafkaSettings {
        request_timeout: settings.kafka.request_timeout.min(WITHIN),
        ..settings.kafka.clone()
    };
    let admin = match tried.and_then(|()| Admin::new(&settings)) {
        Ok(admin) => admin,
        Err(failure) => return Finding::fault(NAME, failure.to_string(), "mend kafka.properties"),
    };
    let checked = async {
        let cluster = admin.cluster_id().await.map_err(|failure| match failure {
            KafkaError::Unavailable { detail, source } => {
                KafkaError::Other { detail: format!("no broker answers; the client says: {detail}"), source }
            }
            other => other,
        })?;
        Ok::<_, KafkaError>((cluster, topics::missing(&admin, &settings).await?))
    };
    let (cluster, missing) = match checked.await {
        Ok(found) => found,
        Err(failure) => {
            return match failure.policy().directive {
                Directive::EndProcess => Finding::fault(
                    NAME,
                    failure.to_string(),
                    "alter the topic or mend the setting; `nyc311 run` ends with 78 until then",
                ),
                Directive::Wait
                | Directive::RebuildClient
                | Directive::OpenAnew
                | Directive::DeadLetter
                | Directive::Fail => {
                    Finding::fault(NAME, format!("{failure} ({})", settings.bootstrap_servers), MEND_ADDRESS)
                }
            };
        }
    };
    let topics = if missing.is_empty() {
        "all topics are there".to_owned()
    } else {
        format!("`nyc311 run` will create {}", missing.join(", "))
    };
    Finding::good(NAME, format!("cluster {cluster} answers; {topics}"))
}

async fn check_database(settings: &Settings) -> Finding {
    const NAME: &str = "database";
    let address = settings.database.url.redacted();
    let error = match tokio::time::timeout(WITHIN, database_state(settings)).await {
        Ok(Ok(DatabaseState { read_only: true, .. })) => {
            return Finding::fault(
                NAME,
                format!("the database takes no writes ({address})"),
                "name the primary in database.url, or take default_transaction_read_only off its role and database",
            );
        }
        Ok(Ok(DatabaseState { may_create_temporary: false, user, .. })) => {
            return Finding::fault(
                NAME,
                format!(
                    "the user {user} may not create temporary tables, which every write needs ({address})"
                ),
                format!("as an administrator: grant temporary on database ... to {user}"),
            );
        }
        Ok(Ok(DatabaseState { locked_tables: Some(tables), user, .. })) => {
            return Finding::fault(
                NAME,
                format!("the user {user} may not read and write {tables} ({address})"),
                format!(
                    "grant select, insert, update, delete on all tables in schema nyc311 to {user}, or name their owner in database.url"
                ),
            );
        }
        Ok(Ok(DatabaseState { found, known, .. })) if found == known => {
            return Finding::good(NAME, format!("{address} answers, at version {found}"));
        }
        Ok(Ok(DatabaseState { found, known, may_create, .. })) if found > 0 || may_create => {
            let change = match found {
                0 => "create the tables".to_owned(),
                _ => format!("bring it from version {found} to {known}"),
            };
            return Finding::good(
                NAME,
                format!("{address} answers; `nyc311 migrate` or `nyc311 run` will {change}"),
            );
        }
        Ok(Ok(DatabaseState { user, .. })) => {
            return Finding::fault(
                NAME,
                format!("the user {user} may not create the schema nyc311 ({address})"),
                format!("as an administrator: grant create on database ... to {user}"),
            );
        }
        Ok(Err(error)) => error,
        Err(_) => StoreError::timeout(format!("no answer within {} s", WITHIN.as_secs())),
    };
    let policy = error.policy();
    let remedy = policy.remedy.unwrap_or(match policy.directive {
        Directive::EndProcess => "`nyc311 run` ends with 78 until then",
        Directive::Wait
        | Directive::RebuildClient
        | Directive::OpenAnew
        | Directive::DeadLetter
        | Directive::Fail => "mend database.url; the message is the server's own",
    });
    Finding::fault(NAME, format!("{error} ({address})"), remedy)
}

struct DatabaseState {
    /// The newest migration that was applied, 0 before the first.
    found: i32,
    /// The newest migration of this program.
    known: i32,
    may_create: bool,
    may_create_temporary: bool,
    /// A standby, or set so.
    read_only: bool,
    /// Tables that the user may not use as the program does.
    locked_tables: Option<String>,
    user: String,
}

const RIGHTS: &str = "
    select current_user::text, has_database_privilege(current_database(), 'create'),
           has_database_privilege(current_database(), 'temporary'),
           current_setting('transaction_read_only') = 'on',
           (select string_agg(c.relname, ', ' order by c.relname)
            from pg_class c
            where c.relnamespace = to_regnamespace('nyc311') and c.relkind = 'r'
              and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
                       and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete')))";

async fn database_state(settings: &Settings) -> Result<DatabaseState, StoreError> {
    // The connections live as long as the store.
    let store = Store::new(&settings.database)?;
    let (found, known) = store.schema_version().await?;
    let client = store.client().await?;
    let row = client.query_one(RIGHTS, &[]).await?;
    Ok(DatabaseState {
        found,
        known,
        user: row.get(0),
        may_create: row.get(1),
        may_create_temporary: row.get(2),
        read_only: row.get(3),
        locked_tables: row.get(4),
    })
}
