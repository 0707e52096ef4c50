//! Databases that would take most rows and refuse some, or say that all is well: refused before a row is
//! written, or set right.

use nyc311::config::DatabaseSettings;
use nyc311::store::{Store, StoreError};
use nyc311_testkit::batches::{batch, incoming, request};
use nyc311_testkit::topics::bootstrap_servers;
use nyc311_testkit::{Binary, TestDatabase};
use serde_json::json;

use crate::PROGRAM;

fn binary(settings: &DatabaseSettings) -> Binary {
    PROGRAM
        .bare()
        .with("NYC311_DATABASE__URL", settings.url.expose())
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", &bootstrap_servers())
        .with("NYC311_SOURCE__URL", "http://127.0.0.1:1/resource/x.json")
        .with("NYC311_HTTP__LISTEN", "127.0.0.1:0")
}

#[actix_rt::test]
async fn a_database_that_is_not_utf_8_is_refused_by_every_command_with_the_remedy() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let options = format!("encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'");
        let database = TestDatabase::create_with(&options).await;
        let binary = binary(&database.settings);
        let fault = binary.finding("database").await;
        let detail = fault["detail"].as_str().unwrap();
        assert!(fault["ok"] == false && detail.contains(encoding), "{fault}");
        assert!(detail.contains("create database ... encoding 'UTF8' template template0"), "{fault}");
        for command in [&["run"][..], &["migrate"], &["drift"], &["replay"]] {
            let ended = binary.run(command).await;
            assert_eq!(ended.code, 78, "{command:?}: {ended:?}");
            assert!(ended.stderr.contains("encoding 'UTF8' template template0"), "{command:?}: {ended:?}");
        }
    }
}

#[actix_rt::test]
async fn a_role_that_switches_triggers_off_is_refused() {
    let database = TestDatabase::create().await;
    database.alter("set session_replication_role = 'replica'").await;
    let refused = database.another_store().ping().await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::UnfitDatabase { detail } if detail.contains("no trigger")),
        "{refused}"
    );
    assert_eq!(binary(&database.settings).run(&["run"]).await.code, 78);
}

#[actix_rt::test]
async fn what_a_role_or_a_database_has_set_changes_nothing_of_what_is_stored() {
    let database = TestDatabase::create_empty().await;
    for change in [
        "set client_encoding = 'LATIN1'",
        "set datestyle = 'German'",
        "set intervalstyle = 'iso_8601'",
        "set bytea_output = 'escape'",
        "set extra_float_digits = 0",
        "set standard_conforming_strings = off",
        "set timezone = 'Asia/Tokyo'",
        "set synchronous_commit = off",
        "set default_transaction_isolation = 'serializable'",
        "set search_path = 'pg_catalog'",
    ] {
        database.alter(change).await;
    }
    let store: Store = database.another_store();
    store.migrate().await.unwrap();
    let mut row = request(1, 0, 1);
    row.landmark = Some("\u{1f5fd} Łódź \\ 'x'".into());
    row.latitude = Some(40.712_345_678_901_23);
    let summary = store.write(&batch([incoming(&row)])).await.unwrap();
    assert_eq!(summary.refused, 0, "{summary:?}");
    let stored = database.json("select landmark, latitude from nyc311.service_request").await;
    assert_eq!(stored, json!([{"landmark": "\u{1f5fd} Łódź \\ 'x'", "latitude": 40.712_345_678_901_23}]));
    let sessions = database
        .json(
            "select name, setting from pg_settings
             where name in ('synchronous_commit', 'default_transaction_isolation', 'DateStyle', 'client_encoding') order by lower(name)",
        )
        .await;
    let expected = json!([
        {"name": "client_encoding", "setting": "UTF8"},
        {"name": "DateStyle", "setting": "ISO, MDY"},
        {"name": "default_transaction_isolation", "setting": "read committed"},
        {"name": "synchronous_commit", "setting": "on"},
    ]);
    assert_eq!(sessions, expected);
}

#[actix_rt::test]
async fn a_database_that_takes_no_writes_is_away_and_check_says_so() {
    let database = TestDatabase::create().await;
    database.ping().await.unwrap();
    database.alter("set default_transaction_read_only = on").await;
    let away = database.another_store().ping().await.unwrap_err();
    assert!(away.is_unavailable() && away.to_string().contains("takes no writes"), "{away}");
    let fault = binary(&database.settings).finding("database").await;
    assert!(fault["ok"] == false && fault["remedy"].as_str().unwrap().contains("primary"), "{fault}");
}

#[actix_rt::test]
async fn check_finds_the_rights_that_a_write_needs() {
    let database = TestDatabase::create().await;
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    database
        .execute(&format!(
            "create role {role} login password 'reader'; grant usage on schema nyc311 to {role};
             grant select on all tables in schema nyc311 to {role}"
        ))
        .await;
    let mut url = reqwest::Url::parse(database.settings.url.expose()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("reader")).unwrap();
    let binary = binary(&DatabaseSettings {
        url: nyc311::config::Secret::new(url.as_str()),
        ..DatabaseSettings::default()
    });
    let tables = binary.finding("database").await;
    database.execute("do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$").await;
    let temporary = binary.finding("database").await;
    database.execute(&format!("drop owned by {role}; drop role {role}")).await;
    for (fault, expected) in [(&tables, "may not read and write"), (&temporary, "temporary tables")] {
        assert_eq!(fault["ok"], false, "{fault}");
        assert!(fault["detail"].as_str().unwrap().contains(expected), "{fault}");
        assert!(fault["remedy"].as_str().unwrap().contains("grant"), "{fault}");
    }
}
