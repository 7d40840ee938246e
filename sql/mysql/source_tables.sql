-- Every table outside of the server's own databases, with its size and its row estimate.
SELECT TABLE_SCHEMA,
       TABLE_NAME,
       TABLE_TYPE,
       ENGINE,
       COALESCE(TABLE_ROWS, 0),
       COALESCE(DATA_LENGTH, 0),
       AUTO_INCREMENT
FROM information_schema.TABLES
WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
ORDER BY TABLE_SCHEMA, TABLE_NAME
