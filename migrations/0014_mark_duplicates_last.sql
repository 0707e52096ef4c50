-- Marks come after the rollups, as in the transaction of the writer, where writers take turns from the marks
-- to the commit: what comes before them is done side by side. One order of locks for all: cells of rollups,
-- then the turn.
drop trigger d_mark_duplicates on nyc311.service_request_row;
create trigger zz_mark_duplicates
    after insert or update or delete on nyc311.service_request_row
    for each statement execute function nyc311.mark_duplicates_unless_writing();
