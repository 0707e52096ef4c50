//! Holds the SQL of the write transaction; the columns of a row are listed here once.

use std::sync::LazyLock;

use nyc311_domain::CONTENT;

/// The columns of `service_request_row` that a row itself decides, in the order in which it is encoded.
pub(super) const COLUMNS: &[(&str, &str)] = &[
    ("unique_key", "bigint not null"),
    ("source_updated_at", "timestamptz not null"),
    ("source_version", "text collate \"C\" not null"),
    ("rules_revision", "smallint not null"),
    ("source_created_at", "timestamptz"),
    ("created_at", "timestamptz not null"),
    ("closed_at", "timestamptz"),
    ("due_at", "timestamptz"),
    ("resolution_updated_at", "timestamptz"),
    ("response_hours", "double precision"),
    ("quality_flags", "bigint not null"),
    ("status", "text"),
    ("state", "text not null"),
    ("is_open", "boolean not null"),
    ("agency", "text not null"),
    ("agency_name", "text"),
    ("complaint_type", "text not null"),
    ("category", "text"),
    ("descriptor", "text"),
    ("descriptor_2", "text"),
    ("location_type", "text"),
    ("open_data_channel_type", "text"),
    ("resolution_description", "text"),
    ("borough", "text"),
    ("incident_zip", "text"),
    ("city", "text"),
    ("incident_address", "text"),
    ("street_name", "text"),
    ("cross_street_1", "text"),
    ("cross_street_2", "text"),
    ("intersection_street_1", "text"),
    ("intersection_street_2", "text"),
    ("landmark", "text"),
    ("bbl", "bigint"),
    ("latitude", "double precision"),
    ("longitude", "double precision"),
    ("x_state_plane", "integer"),
    ("y_state_plane", "integer"),
    ("community_board", "text"),
    ("community_district", "smallint"),
    ("council_district", "smallint"),
    ("police_precinct", "smallint"),
    ("nta2020", "text"),
    ("zcta", "text"),
    ("stated", "jsonb"),
    ("details", "jsonb"),
    ("source_row_id", "text"),
    ("address_type", "text"),
    ("zip_region", "integer"),
    ("community_district_region", "smallint"),
    ("borough_region", "smallint"),
    ("council_district_region", "smallint"),
    ("police_precinct_region", "smallint"),
    ("implied", "smallint"),
];

/// The columns of `service_request_row` whose texts may be kept elsewhere, each with the one in which the
/// number of the text stands then, in the order in which these are encoded behind those above.
pub(super) const NUMBERED: [(&str, &str); 2] =
    [("agency_name", "agency_name_id"), ("resolution_description", "resolution_description_id")];

/// Makes the session's temporary tables, once.
pub(super) static CREATE_INCOMING: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.iter().map(|(name, definition)| format!("{name} {definition}"));
    let numbers = NUMBERED.iter().map(|(_, number)| format!("{number} bigint"));
    include_str!("../sql/create_incoming.sql").replace("{definitions}", &joined(columns.chain(numbers)))
});

pub(super) static COPY_INCOMING: LazyLock<String> = LazyLock::new(|| {
    let columns = joined(names());
    format!("copy pg_temp.incoming ({columns}, poll_id, raw_partition, newest) from stdin (format binary)")
});

pub(super) static UPSERT_NEWEST: LazyLock<String> = LazyLock::new(|| {
    include_str!("../sql/upsert_newest.sql")
        .replace("{columns}", &joined(names()))
        .replace("{assignments}", &joined(names().map(|name| format!("{name} = excluded.{name}"))))
        .replace("{content}", CONTENT)
});

pub(super) static PLACE_SUPERSEDED: LazyLock<String> =
    LazyLock::new(|| include_str!("../sql/place_superseded.sql").replace("{content}", CONTENT));

/// Whoever locks the view `service_request` gets the rows before the texts; in another order the writer and
/// they would wait for each other.
pub(super) const LOCK_ROWS_FIRST: &str = "lock table nyc311.service_request_row in row exclusive mode";

/// Stores texts by their numbers, in one order for all writers.
pub(super) const STORE_TEXTS: &str = "
    insert into nyc311.source_text (text_id, value)
    select t.text_id, t.value
    from unnest($1::bigint[], $2::text[]) as t (text_id, value)
    order by t.text_id
    on conflict (text_id) do nothing";

/// Finds the numbers under which another text stands. By the index, whatever the planner believes of the
/// table.
pub(super) const TAKEN_NUMBERS: &str = "
    select t.text_id
    from unnest($1::bigint[], $2::text[]) as t (text_id, value)
    cross join lateral (
        select s.value from nyc311.source_text s where s.text_id = t.text_id offset 0
    ) s
    where s.value <> t.value";

/// Puts texts back into a column of [`NUMBERED`], in the rows that have their numbers.
pub(super) fn keep_texts((column, number): (&str, &str)) -> String {
    format!(
        "update pg_temp.incoming i
         set {column} = t.value, {number} = null
         from unnest($1::bigint[], $2::text[]) as t (text_id, value)
         where i.{number} = t.text_id"
    )
}

/// Locks the positions that a batch covers, in one order for all writers.
pub(super) const LOCK_POSITIONS: &str = "
    select p.topic, p.kafka_partition, p.epoch, p.next_offset
    from nyc311.consumer_position p
    join unnest($2::text[], $3::int[]) as a (topic, kafka_partition)
        on p.topic = a.topic and p.kafka_partition = a.kafka_partition
    where p.kafka_cluster_id = $1
    order by p.topic, p.kafka_partition
    for update of p";

pub(super) const ADVANCE_POSITIONS: &str = "
    update nyc311.consumer_position p
    set next_offset = a.next_offset, updated_at = now(),
        last_offset = coalesce(a.last_offset, p.last_offset),
        last_appended_at_ms = case when a.last_offset is null then p.last_appended_at_ms else a.last_appended_at_ms end
    from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
        as a (topic, kafka_partition, next_offset, last_offset, last_appended_at_ms)
    where p.kafka_cluster_id = $1 and p.topic = a.topic and p.kafka_partition = a.kafka_partition";

pub(super) const RESOLVE_DEAD_LETTERS: &str = "
    update nyc311.dead_letter d
    set state = 'resolved'
    from (
        select payload_sha256 from nyc311.dead_letter
        where payload_sha256 = any ($1::bytea[]) and state in ('open', 'replayed')
        order by payload_sha256 for no key update
    ) r
    where d.payload_sha256 = r.payload_sha256";

/// Adds to the counts of polls. A poll that succeeded is settled; one that is unknown counts nowhere.
pub(super) const COUNT_BY_POLL: &str = "
    insert into nyc311.poll_partition as n
        (poll_id, kafka_partition, stored, duplicate, reenriched, dead_lettered)
    select c.poll_id, c.kafka_partition, c.stored, c.duplicate, c.reenriched, c.dead_lettered
    from unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        as c (poll_id, kafka_partition, stored, duplicate, reenriched, dead_lettered)
    join nyc311.poll p on p.poll_id = c.poll_id and p.state <> 'succeeded'
    order by c.poll_id, c.kafka_partition
    on conflict (poll_id, kafka_partition) do update
    set stored = n.stored + excluded.stored, duplicate = n.duplicate + excluded.duplicate,
        reenriched = n.reenriched + excluded.reenriched,
        dead_lettered = n.dead_lettered + excluded.dead_lettered";

/// Names all columns that come from the row.
fn names() -> impl Iterator<Item = String> {
    let numbers = NUMBERED.iter().map(|(_, number)| *number);
    COLUMNS.iter().map(|(name, _)| *name).chain(numbers).map(str::to_owned)
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// Tells whether any row is withdrawn. Mostly none is, and then nothing is looked for.
pub(super) const ANY_WITHDRAWN: &str =
    "select exists (select from nyc311.service_request_row where withdrawn_at is not null)";

/// Finds the rows of the batch that are withdrawn. By the index, row by row.
pub(super) const WITHDRAWN: &str = "
    select i.unique_key, r.withdrawn_at
    from pg_temp.incoming i
    cross join lateral (
        select r.withdrawn_at from nyc311.service_request_row r
        where r.unique_key = i.unique_key and r.withdrawn_at is not null
        offset 0
    ) r";

/// Changes rows that the upsert has locked.
pub(super) const BRING_BACK: &str = "
    update nyc311.service_request_row set withdrawn_at = null
    where unique_key = any ($1::bigint[]) and withdrawn_at is not null";
