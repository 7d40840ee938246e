SELECT pg_catalog.row_to_json(s)::text AS slot,
       s.database = pg_catalog.current_database() AS of_this_database,
       pg_catalog.pg_wal_lsn_diff(
           CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                ELSE pg_catalog.pg_current_wal_lsn() END,
           s.restart_lsn)::int8 AS retained
FROM pg_catalog.pg_replication_slots AS s
WHERE s.slot_name = $1::text
