-- Whose sessions are to be ended: those of the roles $2, in any database, or all of this database; but
-- for those of the program $1.
SELECT a.pid, COALESCE(a.usename, '')::text AS "user"
FROM pg_catalog.pg_stat_activity AS a
WHERE a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND a.application_name IS DISTINCT FROM $1::text
  AND CASE WHEN $2::text[] IS NULL THEN a.datname = pg_catalog.current_database()
           ELSE a.usename = ANY ($2::text[]) END
