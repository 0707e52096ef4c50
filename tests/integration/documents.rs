//! Runs the SQL that the documents show, so that no example is wrong.

use nyc311_testkit::TestDatabase;
use serde_json::json;

const DOCUMENTS: [(&str, &str); 5] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/schema.md", include_str!("../../docs/schema.md")),
    ("docs/quality.md", include_str!("../../docs/quality.md")),
    ("docs/operations.md", include_str!("../../docs/operations.md")),
    ("docs/geography.md", include_str!("../../docs/geography.md")),
];

/// Finds the statements of the blocks that are marked as SQL.
fn examples(text: &str) -> Vec<String> {
    let blocks = text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let without_comments = |block: &str| {
        let lines = block.lines().filter(|line| !line.trim_start().starts_with("--"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    blocks
        .flat_map(|block| without_comments(block).split(';').map(str::to_owned).collect::<Vec<_>>())
        .filter(|statement| !statement.trim().is_empty())
        .collect()
}

async fn sample_city() -> TestDatabase {
    let database = TestDatabase::create().await;
    let rows = include_str!("sample_city.sql").replace("ROWS", "40000").replace("DAYS", "480");
    database.execute(&rows).await;
    database
        .execute(
            "insert into nyc311.source_term (kind, value, known) values ('status', 'Escalated', false);
             insert into nyc311.dead_letter (payload_sha256, payload, stage, reason, rejected_by, first_seen_at)
             values (sha256('x'), 'x', 'enricher', 'not_an_object', '0', now());
             analyze nyc311.service_request_row, nyc311.service_request_history",
        )
        .await;
    database
}

#[tokio::test]
async fn every_example_of_the_documents_runs_and_finds_something() {
    let database = sample_city().await;
    let client = database.client().await.unwrap();
    let mut run = 0;
    for (name, text) in DOCUMENTS {
        for statement in examples(text) {
            let rows = client.query(&statement, &[]).await;
            let rows = rows.unwrap_or_else(|error| panic!("{name}: {:?}\n{statement}", error.as_db_error()));
            // The rollups against their recounts are the one example that must find nothing.
            assert_eq!(
                rows.is_empty(),
                statement.contains("_recount"),
                "{name}: {} rows\n{statement}",
                rows.len()
            );
            run += 1;
        }
    }
    assert!(run >= 20, "only {run} examples were found");
}

#[test]
fn the_first_query_of_a_reader_is_a_fast_one() {
    let first = examples(DOCUMENTS[0].1).into_iter().next().unwrap();
    assert!(first.contains("nyc311.rollup_daily") && first.contains("where day >"), "{first}");
    assert!(!first.contains("nyc311.service_request"), "{first}");
}

#[tokio::test]
async fn flags_are_asked_for_by_name() {
    let database = sample_city().await;
    for flag in nyc311_domain::quality::ALL {
        let agree = format!(
            "select count(*) from nyc311.service_request where nyc311.has_flag(quality_flags, '{}') <> (quality_flags & (1::bigint << {}) <> 0)",
            flag.name, flag.bit
        );
        assert_eq!(database.number(&agree).await, 0, "{}", flag.name);
    }
    let found =
        "select count(*) from nyc311.service_request where nyc311.has_flag(quality_flags, 'point_at_zero')";
    assert_eq!(database.number(found).await, 1_000);
    let by_column =
        "select bool_and(nyc311.has_flag(1::bigint << bit, name)) as each from nyc311.quality_flag";
    assert_eq!(database.json(by_column).await, json!([{"each": true}]));
}

#[tokio::test]
async fn a_flag_that_does_not_exist_is_an_error_that_names_the_nearest() {
    let database = TestDatabase::create().await;
    let client = database.client().await.unwrap();
    for (wrong, nearest) in [
        ("'closed_before_create'", "closed_before_created"),
        ("'CLOSED_BEFORE_CREATED'", "closed_before_created"),
        ("'point_zero'", "point_at_zero"),
        ("''", "quality_flag lists all"),
        ("null", "quality_flag lists all"),
    ] {
        let asked = client.query(&format!("select nyc311.has_flag(0, {wrong})"), &[]).await.unwrap_err();
        let error = asked.as_db_error().unwrap();
        assert_eq!(error.code().code(), "22023", "{wrong}: {error}");
        assert!(error.message().starts_with("there is no quality flag"), "{error}");
        assert!(error.hint().unwrap().contains(nearest), "{wrong}: {:?}", error.hint());
    }
}

#[tokio::test]
async fn a_flag_by_name_costs_no_more_than_its_bit() {
    let database = TestDatabase::create().await;
    let client = database.client().await.unwrap();
    let plan = client
        .query("explain (costs off) select count(*) from nyc311.service_request where nyc311.has_flag(quality_flags, 'point_at_zero')", &[])
        .await
        .unwrap();
    let plan: String = plan.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    assert!(
        plan.contains("(quality_flags & '2199023255552'::bigint)") && !plan.contains("has_flag"),
        "{plan}"
    );
}
