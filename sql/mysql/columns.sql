-- The columns of tables; which, and in which order, is said by who asks.
SELECT TABLE_SCHEMA,
       TABLE_NAME,
       COLUMN_NAME,
       ORDINAL_POSITION,
       COLUMN_TYPE,
       IS_NULLABLE = 'NO',
       COLLATION_NAME,
       COALESCE(GENERATION_EXPRESSION, '') <> ''
FROM information_schema.COLUMNS
