//! What a command needs to be there before it begins: a migrated database, topics. That they are missing is
//! no answer to what was asked, so it has the code of wrong settings.

use super::exit::{self, CommandError};
use crate::config::{KafkaSettings, Settings};
use crate::kafka::{Admin, topics};
use crate::store::Store;

/// Opens the store, if the tables are those of this program.
pub async fn migrated_store(settings: &Settings) -> Result<Store, CommandError> {
    let store = Store::new(&settings.database)?;
    let (found, known) = store.schema_version().await?;
    if found == known {
        return Ok(store);
    }
    let state = match found {
        0 => "has no tables of nyc311 yet".to_owned(),
        _ => format!("is at version {found}, and this program needs {known}"),
    };
    Err(CommandError::new(
        exit::SETTINGS,
        format!(
            "the database {} {state}; run `nyc311 migrate` first, or mend database.url",
            settings.database.url.redacted()
        ),
    ))
}

/// Checks that a topic is there and ours; `setting` names it.
pub async fn expect_topic(
    admin: &Admin,
    settings: &KafkaSettings,
    setting: &str,
    topic: &str,
) -> Result<(), CommandError> {
    match admin.topics().await?.get(topic) {
        Some(count) => Ok(topics::check_partitions(settings, topic, *count)?),
        None => Err(CommandError::new(
            exit::SETTINGS,
            format!(
                "{} has no topic {topic}; `nyc311 run` creates it, or mend {setting}",
                settings.bootstrap_servers
            ),
        )),
    }
}
