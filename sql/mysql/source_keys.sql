-- The parts of every unique key of those tables, the primary key first.
SELECT TABLE_SCHEMA,
       TABLE_NAME,
       INDEX_NAME,
       COLUMN_NAME,
       SUB_PART IS NOT NULL
FROM information_schema.STATISTICS
WHERE NON_UNIQUE = 0
  AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX
