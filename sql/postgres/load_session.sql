-- What a session that loads chunks needs. Commits need not wait for the disk: what a crash of the
-- target loses is lost together with its ledger entry, and copied again.
SET session_replication_role = replica;
SET row_security = off;
SET synchronous_commit = off;
SET jit = off;
-- A database in SQL_ASCII takes bytes of any encoding, but only from who says so.
SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)
WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'
