-- A slot, as a row of JSON: which columns there are depends on the version. On a standby its
-- safe_wal_size counts from the log's very beginning (GetXLogWriteRecPtr in xlog.c knows no position
-- there), so it is told anew, short of it by less than a segment.
SELECT pg_catalog.row_to_json(s)::text AS slot,
       s.database = pg_catalog.current_database() AS of_this_database,
       behind.retained::int8 AS retained,
       CASE WHEN r.in_recovery THEN keep.bytes - behind.retained::int8 END AS standby_safe,
       r.in_recovery
FROM pg_catalog.pg_replication_slots AS s
CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery) AS r
CROSS JOIN LATERAL (
    SELECT pg_catalog.pg_wal_lsn_diff(
        CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_lsn() END,
        s.restart_lsn) AS retained
) AS behind
LEFT JOIN LATERAL (
    SELECT setting::int8 * 1024 * 1024 AS bytes
    FROM pg_catalog.pg_settings
    WHERE name = 'max_slot_wal_keep_size' AND setting::int8 >= 0
) AS keep ON true
WHERE s.slot_name = $1::text
