-- How a standby follows its primary.
SELECT current_setting('hot_standby_feedback')::bool AS feedback,
       current_setting('primary_slot_name') <> '' AS has_slot,
       EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE pid IS NOT NULL) AS connected
