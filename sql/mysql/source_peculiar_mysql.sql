-- What of tables only MySQL has: the table, a part of it, what that is, and whether the table can go
-- over without it.
SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, 'is an index over an expression', 0
FROM information_schema.STATISTICS
WHERE EXPRESSION IS NOT NULL
UNION ALL
SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, 'is a check that is not enforced', 0
FROM information_schema.TABLE_CONSTRAINTS
WHERE CONSTRAINT_TYPE = 'CHECK' AND ENFORCED = 'NO'
UNION ALL
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, 'has one reference system for all its values', 1
FROM information_schema.COLUMNS
WHERE SRS_ID IS NOT NULL
