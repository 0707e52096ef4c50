"""The table that every peer fills, and what each needs to fill it."""

import os

# A column of the source, the column of the table, its type.
FIELDS = [
    ("unique_key", "unique_key", "bigint"),
    (":updated_at", "source_updated_at", "timestamptz"),
    ("created_date", "created_date", "timestamp"),
    ("closed_date", "closed_date", "timestamp"),
    ("resolution_action_updated_date", "resolution_action_updated_date", "timestamp"),
    ("agency", "agency", "text"),
    ("agency_name", "agency_name", "text"),
    ("complaint_type", "complaint_type", "text"),
    ("descriptor", "descriptor", "text"),
    ("location_type", "location_type", "text"),
    ("incident_zip", "incident_zip", "text"),
    ("incident_address", "incident_address", "text"),
    ("street_name", "street_name", "text"),
    ("city", "city", "text"),
    ("landmark", "landmark", "text"),
    ("status", "status", "text"),
    ("resolution_description", "resolution_description", "text"),
    ("community_board", "community_board", "text"),
    ("council_district", "council_district", "text"),
    ("police_precinct", "police_precinct", "text"),
    ("bbl", "bbl", "bigint"),
    ("borough", "borough", "text"),
    ("open_data_channel_type", "open_data_channel_type", "text"),
    ("latitude", "latitude", "double precision"),
    ("longitude", "longitude", "double precision"),
]
SOURCE_NAMES = [source for source, _, _ in FIELDS]
COLUMNS = [column for _, column, _ in FIELDS]
KEY = "unique_key"
VERSION = "source_updated_at"

# The key and the indexes of nyc311's own table.
CREATE = f"""
create table service_request ({", ".join(f"{column} {kind}" for _, column, kind in FIELDS)}, primary key ({KEY}));
create index on service_request (created_date);
create index on service_request (bbl) where bbl is not null;
create index on service_request (agency, created_date) where closed_date is null;
"""

# In the order of the key, so that neighbours in the index are written together; of versions in one batch the newest.
UPSERT = f"""
insert into service_request ({", ".join(COLUMNS)})
select distinct on ({KEY}) {", ".join(COLUMNS)} from staging order by {KEY}, {VERSION} desc
on conflict ({KEY}) do update set {", ".join(f"{column} = excluded.{column}" for column in COLUMNS if column != KEY)}
where excluded.{VERSION} > service_request.{VERSION}
"""


def setting(name):
    """Returns what the runner has set for its peers."""
    return os.environ[f"PEER_{name}"]


def announce(what):
    """Tells the runner that work begins (`reading`), or that all of it is committed (`done`)."""
    print(what, flush=True)
