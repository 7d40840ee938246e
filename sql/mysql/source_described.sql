-- The columns of one table, as far as making them again needs.
SELECT COLUMN_NAME,
       COLUMN_DEFAULT,
       EXTRA LIKE '%DEFAULT_GENERATED%',
       GENERATION_EXPRESSION,
       EXTRA,
       COLUMN_TYPE
FROM information_schema.COLUMNS
