-- The character sets of what names none: by database for tables, by table for columns. Of a table
-- the collation is told, whose name begins with it.
SELECT SCHEMA_NAME, NULL, DEFAULT_CHARACTER_SET_NAME
FROM information_schema.SCHEMATA
UNION ALL
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_COLLATION
FROM information_schema.TABLES
WHERE TABLE_COLLATION IS NOT NULL
  AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
