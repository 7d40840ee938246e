SELECT c.epoch,
       s.report::text AS report,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - c.committed_at)::float8
           AS committed_seconds_ago,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - s.updated_at)::float8
           AS reported_seconds_ago,
       EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - GREATEST(
           m.created_at, c.applied_at, s.updated_at,
           (SELECT max(h.finished_at) FROM dunlin.chunk AS h WHERE h.migration = m.name),
           (SELECT max(b.finished_at) FROM dunlin.build AS b WHERE b.migration = m.name)))::float8
           AS updated_seconds_ago,
       -- As target_lock.sql takes it.
       (SELECT l.pid FROM pg_catalog.pg_locks AS l
        JOIN pg_catalog.pg_database AS d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND d.datname = pg_catalog.current_database()
          AND l.classid::int8 = (k.key >> 32) & 4294967295
          AND l.objid::int8 = k.key & 4294967295
        LIMIT 1) AS holder
FROM dunlin.migration AS m
JOIN dunlin.checkpoint AS c ON c.migration = m.name
LEFT JOIN dunlin.status AS s ON s.migration = m.name
CROSS JOIN (SELECT pg_catalog.hashtextextended('dunlin ' || $1::text, 0) AS key) AS k
WHERE m.name = $1::text
