-- The marks of duplicates cost what a batch touches, never what the table holds: every look at the facts goes by an index.
--
-- PL/pgSQL keeps a plan for the session. One that was made while the table was empty, or before it was first analyzed, read
-- the whole table for the few rows to mark, and went on to do so as the table grew. Nothing here may be planned as a scan
-- or a hash of the facts, whatever the planner believes of them; what is left is a nested loop over their indexes.
-- `set` belongs to the call, so that nothing of the session's changes.
alter function nyc311.mark_duplicates() set enable_seqscan = off;
alter function nyc311.mark_duplicates() set enable_hashjoin = off;
alter function nyc311.mark_duplicates() set enable_mergejoin = off;
