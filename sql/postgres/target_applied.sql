SELECT m.phase,
       m.cutover::text AS cutover,
       c.position::text AS position,
       s.report::text AS report,
       -- As target_lock.sql takes it.
       EXISTS (SELECT FROM pg_catalog.pg_locks AS l
               JOIN pg_catalog.pg_database AS d ON d.oid = l.database
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                 AND d.datname = pg_catalog.current_database()
                 AND l.classid::int8 = (k.key >> 32) & 4294967295
                 AND l.objid::int8 = k.key & 4294967295) AS running
FROM dunlin.migration AS m
JOIN dunlin.checkpoint AS c ON c.migration = m.name
LEFT JOIN dunlin.status AS s ON s.migration = m.name
CROSS JOIN (SELECT pg_catalog.hashtextextended('dunlin ' || $1::text, 0) AS key) AS k
WHERE m.name = $1::text
