-- The end of the log. On a standby it is its primary's, as far as the standby knows it: what has
-- come counts before it is replayed, and so does what the primary said it has, which is NULL for a role that
-- may not read all statistics (`latest_end_lsn` is what the primary sent along: ProcessWalSndrMessage
-- in walreceiver.c).
SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN GREATEST(pg_catalog.pg_last_wal_replay_lsn(),
                          pg_catalog.pg_last_wal_receive_lsn(),
                          (SELECT latest_end_lsn FROM pg_catalog.pg_stat_wal_receiver))
            ELSE pg_catalog.pg_current_wal_flush_lsn() END::text
