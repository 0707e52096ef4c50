-- The words by which the source says things, and when each was first seen: names of columns, statuses,
-- agencies, complaint types. They change without notice; one that the rules of the program do not know is
-- kept with its rows, and is worth a look.
create table nyc311.source_term (
    kind                     text collate "C" not null
        constraint source_term_kind_known check (kind in ('column', 'status', 'agency', 'complaint_type')),
    -- its first 200 characters
    value                    text collate "C" not null,
    -- whether a rule knows it; the program brings this up to date whenever it migrates
    known                    boolean not null,
    -- the earliest version with it that was ever seen, in whatever order they came; null where none was,
    -- but the source named the column
    first_source_updated_at  timestamptz,
    first_seen_at            timestamptz not null default now(),
    -- a column that the source names no more
    vanished_at              timestamptz,
    primary key (kind, value)
);

-- What is worth a look.
create view nyc311.source_drift as
select kind, value, known, first_source_updated_at, first_seen_at, vanished_at
from nyc311.source_term
where not known or vanished_at is not null;
