//! How rows are kept lean: texts that many share are stored once, and fields that follow from the columns are
//! made again from them.

use std::path::Path;

use nyc311_domain::enrich;
use nyc311_testkit::TestDatabase;
use nyc311_testkit::batches::{batch, incoming, request};
use nyc311_testkit::oracle::assert_recounts;
use serde_json::{Value, json};

const TEXT: &str = "The agency looked into it and found nothing.";

/// Requests that share a text.
async fn sharing(keys: std::ops::RangeInclusive<i64>) -> TestDatabase {
    let database = TestDatabase::create().await;
    let rows = keys.map(|key| {
        let mut request = request(key, 0, 1);
        request.agency_name = Some("Department of Something".into());
        request.resolution_description = Some(TEXT.into());
        incoming(&request)
    });
    database.write(&batch(rows)).await.unwrap();
    database
}

async fn told(database: &TestDatabase) -> Value {
    database
        .json("select distinct agency_name, resolution_description from nyc311.service_request order by 1, 2")
        .await
}

fn texts(agency_name: &str, resolution_description: &str) -> Value {
    json!({ "agency_name": agency_name, "resolution_description": resolution_description })
}

#[tokio::test]
async fn a_text_of_many_rows_is_stored_once_and_told_by_each() {
    let database = sharing(1..=50).await;
    assert_eq!(told(&database).await, json!([texts("Department of Something", TEXT)]));
    assert_eq!(database.count("source_text").await, 2);
    let own = "service_request_row where agency_name is not null or resolution_description is not null";
    assert_eq!(database.count(own).await, 0);
    let numbered = "source_text where text_id = ('x' || encode(substr(sha256(convert_to(value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint";
    assert_eq!(database.count(numbered).await, 2, "as the table's description says");
}

#[tokio::test]
async fn a_text_whose_number_another_one_has_stays_in_its_rows() {
    let database = TestDatabase::create().await;
    database
        .execute(&format!(
            "insert into nyc311.source_text (text_id, value)
             select ('x' || encode(substr(sha256(t::bytea), 1, 8), 'hex'))::bit(64)::bigint, 'of another'
             from unnest(array['{TEXT}', 'Department of Something']) t"
        ))
        .await;
    let mut request = request(1, 0, 1);
    request.agency_name = Some("Department of Something".into());
    request.resolution_description = Some(TEXT.into());
    database.write(&batch([incoming(&request)])).await.unwrap();
    assert_eq!(told(&database).await, json!([texts("Department of Something", TEXT)]));
}

#[tokio::test]
async fn texts_that_a_restored_database_lost_are_stored_again() {
    let database = sharing(1..=1).await;
    database.execute("delete from nyc311.source_text; delete from nyc311.service_request").await;
    let mut request = request(2, 0, 1);
    request.agency_name = Some("Department of Something".into());
    request.resolution_description = Some(TEXT.into());
    database.write(&batch([incoming(&request)])).await.unwrap();
    assert_eq!(told(&database).await, json!([texts("Department of Something", TEXT)]));
}

#[tokio::test]
async fn what_is_changed_by_hand_stays_until_a_newer_version_comes() {
    let database = sharing(1..=4).await;
    database
        .execute(
            "update nyc311.service_request set status = 'By hand', borough = 'BRONX' where unique_key <= 2;
             update nyc311.service_request_row set resolution_description = 'redacted', resolution_description_id = null
             where unique_key = 1;
             delete from nyc311.service_request where unique_key = 4;
             insert into nyc311.service_request (unique_key, source_updated_at, rules_revision, created_at, state, is_open,
                 agency, complaint_type)
             values (3, now(), 1, now(), 'open', true, 'X', 'Y'), (5, now(), 1, now(), 'open', true, 'X', 'Y')
             on conflict (unique_key) do update set agency = excluded.agency",
        )
        .await;
    assert_recounts(&database).await;
    let rows = "select unique_key, status, borough, agency, resolution_description from nyc311.service_request order by 1";
    let rows = database.json(rows).await;
    let column =
        |name: &str| -> Vec<Value> { rows.as_array().unwrap().iter().map(|row| row[name].clone()).collect() };
    assert_eq!(column("unique_key"), [1, 2, 3, 5]);
    assert_eq!(column("status")[..2], ["By hand", "By hand"]);
    assert_eq!(column("agency")[2..], ["X", "X"]);
    assert_eq!(column("resolution_description")[..2], [json!("redacted"), json!(TEXT)]);
    let newer = (1..=2).map(|key| {
        let mut request = request(key, 2, 1);
        request.resolution_description = Some(TEXT.into());
        incoming(&request)
    });
    database.write(&batch(newer)).await.unwrap();
    assert_recounts(&database).await;
    let redacted = "service_request where resolution_description = 'redacted' or status = 'By hand'";
    assert_eq!(database.count(redacted).await, 0);
}

#[tokio::test]
async fn fields_that_follow_from_the_columns_are_made_again() {
    let database = TestDatabase::create().await;
    let address = r#""{\"address\": \"\", \"city\": \"\", \"state\": \"\", \"zip\": \"\"}""#;
    let fields = [
        format!(
            r#"{{"location":{{"latitude":"40.682233221172325","longitude":"-73.82116030333005","human_address":{address}}}}}"#
        ),
        r#"{"park_borough":"QUEENS"}"#.to_owned(),
        r#"{"park_facility_name":"Unspecified"}"#.to_owned(),
        r#"{"park_borough":"QUEENS","park_facility_name":"Unspecified","taxi_company_borough":"BRONX"}"#
            .to_owned(),
        r#"{"park_borough":"BRONX"}"#.to_owned(),
        "{}".to_owned(),
    ];
    let raws: Vec<String> = (1..).zip(&fields).map(|(key, fields)| {
        let row = format!(
            r#"{{"unique_key":"{key}","created_date":"2026-04-12T01:18:41.000","borough":"QUEENS","latitude":"40.682233221172325","longitude":"-73.82116030333005""#
        );
        if fields == "{}" { format!("{row}}}") } else { format!("{row},{}", &fields[1..]) }
    }).collect();
    let rows: Vec<_> = raws.iter().map(|raw| incoming(&enrich(raw.as_bytes()).unwrap())).collect();
    database.write(&batch(rows)).await.unwrap();
    let made = "select nyc311.source_details(s) as details from nyc311.service_request s order by unique_key";
    let expected: Vec<Value> = fields
        .iter()
        .map(|fields| match serde_json::from_str(fields).unwrap() {
            Value::Object(empty) if empty.is_empty() => json!({ "details": null }),
            details => json!({ "details": details }),
        })
        .collect();
    for digits in [1, 0] {
        let session = format!("set extra_float_digits = {digits}");
        let mut client = database.client().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute(&session).await.unwrap();
        let rows =
            transaction.query(&format!("select to_jsonb(m)::text from ({made}) m"), &[]).await.unwrap();
        let found: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
        assert_eq!(found, expected, "{session}");
        transaction.rollback().await.unwrap();
    }
}

/// Makes the tables as the migrations up to the tenth made them.
async fn of_before(database: &TestDatabase) {
    database
        .execute(
            "create schema nyc311;
             create table nyc311.migration (version integer primary key, name text not null, checksum bytea not null,
                 applied_at timestamptz not null default now(), applied_by text not null)",
        )
        .await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for (version, file) in (1..=10).zip(files) {
        let sql = std::fs::read_to_string(&file).unwrap();
        database.execute(&sql).await;
        let client = database.client().await.unwrap();
        client
            .execute(
                "insert into nyc311.migration (version, name, checksum, applied_by) values ($1, $2, sha256($3), 'before')",
                &[&version, &file.file_stem().unwrap().to_str(), &sql.as_bytes()],
            )
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_database_of_before_tells_the_same_and_grows_lean_by_what_is_written_anew() {
    let database = TestDatabase::create_empty().await;
    of_before(&database).await;
    database
        .execute(&format!(
            "grant select on nyc311.service_request to public;
             insert into nyc311.service_request (unique_key, source_updated_at, source_version, rules_revision, created_at,
                 state, is_open, agency, agency_name, complaint_type, resolution_description, details)
             select key, r.source_updated_at::timestamptz, r.source_version, 1, now(), 'open', true, 'NYPD',
                    'Department of Something', 'Noise', '{TEXT}', '{{\":id\": \"row-1\"}}'
             from (values (1), (2)) k (key), (values ('{}', '{}')) r (source_updated_at, source_version)",
            request(1, 0, 1).source_updated_at,
            request(1, 0, 1).source_version
        ))
        .await;
    let told_by =
        "select unique_key, agency_name, resolution_description, nyc311.source_details(s) as details
                   from nyc311.service_request s order by 1";
    database.migrate().await.unwrap();
    let expected = |key: i64| {
        json!({
            "unique_key": key, "agency_name": "Department of Something", "resolution_description": TEXT,
            "details": { ":id": "row-1" },
        })
    };
    assert_eq!(database.json(told_by).await, json!([expected(1), expected(2)]));
    let granted = "select count(*) from information_schema.role_table_grants
                   where grantee = 'PUBLIC' and table_name = 'service_request' and privilege_type = 'SELECT'";
    assert_eq!(database.number(granted).await, 1);

    let mut anew = request(1, 0, 2);
    anew.agency_name = Some("Department of Something".into());
    anew.resolution_description = Some(TEXT.into());
    database.write(&batch([incoming(&anew)])).await.unwrap();
    assert_recounts(&database).await;
    assert_eq!(told(&database).await, json!([texts("Department of Something", TEXT)]));
    let lean = "service_request_row where agency_name is null and resolution_description is null";
    assert_eq!(database.count(lean).await, 1);
}
