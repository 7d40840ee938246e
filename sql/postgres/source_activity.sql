-- Sessions that are at work apart from our own, and whether any are not to be seen: what a session of
-- another role does is told only to those who may use pg_read_all_stats.
SELECT pg_catalog.count(*) FILTER (WHERE a.state IN ('active', 'fastpath function call'))
           AS at_work,
       COALESCE(pg_catalog.bool_or(a.state IS NULL AND a.usename <> current_user), false)
           AND NOT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS hidden,
       current_user::text AS role
FROM pg_catalog.pg_stat_activity AS a
WHERE a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND a.application_name NOT LIKE 'dunlin%'
