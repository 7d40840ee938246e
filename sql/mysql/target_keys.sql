-- The parts of unique keys.
SELECT TABLE_SCHEMA,
       TABLE_NAME,
       INDEX_NAME,
       COLUMN_NAME,
       SUB_PART IS NOT NULL
FROM information_schema.STATISTICS
