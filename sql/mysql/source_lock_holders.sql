-- MySQL: who holds the global lock against FLUSH TABLES WITH READ LOCK (GLOBAL), is at a commit (COMMIT), or
-- uses tables, also between statements (LOCK TABLES, HANDLER) (TABLE); and the session that waits for it ({waiting}), which is among them as long as
-- locks are looked at at all.
SELECT session.PROCESSLIST_ID, held.OBJECT_TYPE
FROM performance_schema.metadata_locks held
JOIN performance_schema.threads session ON session.THREAD_ID = held.OWNER_THREAD_ID
WHERE held.OBJECT_TYPE IN ('GLOBAL', 'COMMIT')
  AND (held.LOCK_STATUS = 'GRANTED' OR session.PROCESSLIST_ID = {waiting})
UNION
SELECT session.PROCESSLIST_ID, 'TABLE'
FROM performance_schema.table_handles used
JOIN performance_schema.threads session ON session.THREAD_ID = used.OWNER_THREAD_ID
