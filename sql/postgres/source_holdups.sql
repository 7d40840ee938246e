-- What a new slot would have to wait for: transactions that have written, prepared or open for
-- longer than a few seconds.
SELECT pg_catalog.format('the prepared transaction %L of %s is open since %s',
                         p.gid, p.owner, p.prepared) AS evidence,
       pg_catalog.format('ROLLBACK PREPARED %L', p.gid) AS fix
FROM pg_catalog.pg_prepared_xacts AS p
UNION ALL
SELECT pg_catalog.format(
           'process %s (user %s, application %L, state %s) has kept a transaction open since %s',
           a.pid, a.usename, a.application_name, a.state, a.xact_start),
       pg_catalog.format('SELECT pg_terminate_backend(%s)', a.pid)
FROM pg_catalog.pg_stat_activity AS a
WHERE a.backend_xid IS NOT NULL
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND a.xact_start < pg_catalog.clock_timestamp() - interval '5 seconds'
