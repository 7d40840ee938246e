-- What a session that puts rows right needs. Triggers and foreign keys rest: what they would do is on
-- the source. Whoever writes at the same time goes first. A commit waits for the disk, since the rows
-- count as proven after it.
SET session_replication_role = replica;
SET row_security = off;
SET jit = off;
SET lock_timeout = '500ms';
SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
WHERE pg_catalog.current_setting('synchronous_commit') = 'off';
-- A database in SQL_ASCII takes bytes of any encoding, but only from who says so.
SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)
WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'
