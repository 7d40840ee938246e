SELECT current_setting('server_version_num')::int4 AS version_num,
       d.datname AS database,
       pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       current_setting('wal_level') AS wal_level,
       current_setting('max_replication_slots')::int4 AS max_replication_slots,
       (SELECT count(*)::int4 FROM pg_catalog.pg_replication_slots) AS used_replication_slots,
       current_setting('max_wal_senders')::int4 AS max_wal_senders,
       (SELECT count(*)::int4 FROM pg_catalog.pg_stat_replication) AS used_wal_senders,
       current_setting('max_connections')::int4 AS max_connections,
       current_setting('superuser_reserved_connections')::int4
           + COALESCE(current_setting('reserved_connections', true)::int4, 0) AS reserved_connections,
       (SELECT COALESCE(sum(numbackends), 0)::int4 FROM pg_catalog.pg_stat_database) AS used_connections,
       (SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size')
           AS max_slot_wal_keep_mb,
       NULLIF(current_setting('idle_replication_slot_timeout', true), '0') AS idle_slot_limit,
       current_user::text AS role,
       r.rolsuper AS is_superuser,
       r.rolreplication AS has_replication,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
           AS may_read_control
FROM pg_catalog.pg_database d
JOIN pg_catalog.pg_roles r ON r.rolname = current_user
WHERE d.datname = pg_catalog.current_database()
