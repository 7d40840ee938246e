-- Takes the migration's lock, or says who has it; and who we are.
SELECT pg_catalog.pg_try_advisory_lock(k.key) AS locked,
       h.pid AS holder, h.session AS holding_session,
       (SELECT pg_catalog.format('%s %s', a.pid, a.backend_start)
        FROM pg_catalog.pg_stat_activity AS a
        WHERE a.pid = pg_catalog.pg_backend_pid()) AS own_session
FROM (SELECT pg_catalog.hashtextextended('dunlin ' || $1::text, 0) AS key) AS k
LEFT JOIN LATERAL (
    SELECT l.pid, pg_catalog.format('%s %s', a.pid, a.backend_start) AS session
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_database AS d ON d.oid = l.database
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND d.datname = pg_catalog.current_database()
      AND l.classid::int8 = (k.key >> 32) & 4294967295
      AND l.objid::int8 = k.key & 4294967295
    LIMIT 1) AS h ON true
