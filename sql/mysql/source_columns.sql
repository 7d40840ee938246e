-- Every column of those tables, in the table's order.
SELECT TABLE_SCHEMA,
       TABLE_NAME,
       COLUMN_NAME,
       ORDINAL_POSITION,
       COLUMN_TYPE,
       IS_NULLABLE = 'NO',
       COLLATION_NAME,
       COALESCE(GENERATION_EXPRESSION, '') <> ''
FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION
