-- What the session that applies changes needs. Triggers and foreign keys rest, since their effects
-- are in the log. Rows are looked up by index whatever the statistics say; one plan serves any
-- number of rows. A policy that would hide a row is an error. A commit waits for the disk only
-- where it says so itself.
SET session_replication_role = replica;
SET row_security = off;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET jit = off;
SET work_mem = '64MB';
SET synchronous_commit = off;
-- A database in SQL_ASCII takes bytes of any encoding, but only from who says so.
SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)
WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'
