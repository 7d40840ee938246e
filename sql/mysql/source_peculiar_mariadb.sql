-- What of tables only MariaDB has: the table, a part of it, what that is, and whether the table can go
-- over without it. MySQL takes a default that is an expression in parentheses only, and has none but
-- NULL for long texts.
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, 'has a default without parentheses', 0
FROM information_schema.COLUMNS
WHERE COLUMN_DEFAULT IS NOT NULL AND COLUMN_DEFAULT <> 'NULL'
  AND (
    COLUMN_DEFAULT NOT REGEXP '^([-+]?[0-9]|''|[bx]''|\\(|current_timestamp|nextval)'
    OR DATA_TYPE REGEXP '(text|blob|geometry|point|linestring|polygon)$'
       AND COLUMN_DEFAULT NOT REGEXP '^\\('
  )
UNION ALL
SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, 'is an index over vectors', 0
FROM information_schema.STATISTICS
WHERE INDEX_TYPE = 'VECTOR'
UNION ALL
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, 'has a default of a sequence', 0
FROM information_schema.COLUMNS
WHERE COLUMN_DEFAULT LIKE 'nextval%'
