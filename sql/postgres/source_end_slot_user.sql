-- Ends whoever uses a slot of this database, and says who that was.
SELECT s.active_pid,
       CASE WHEN s.active_pid IS NOT NULL THEN pg_catalog.pg_terminate_backend(s.active_pid) END
FROM pg_catalog.pg_replication_slots AS s
WHERE s.slot_name = $1::text AND s.plugin = 'pgoutput'
  AND s.database = pg_catalog.current_database()
