-- Whether every table from the partition $1 up to below the root $2 was created as a partition. ATTACH
-- PARTITION writes the row of every column anew (MergeAttributesIntoExisting in the server's
-- tablecmds.c), CREATE TABLE ... PARTITION OF writes them together with those of the system
-- columns, which nothing changes later. (Columns with a default are written twice in any case.)
WITH RECURSIVE above (oid) AS (
    SELECT $1::oid
    UNION ALL
    SELECT i.inhparent
    FROM above
    JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = above.oid
    WHERE i.inhparent <> $2::oid
)
SELECT bool_and(EXISTS (
    SELECT FROM pg_catalog.pg_attribute AS own
    JOIN pg_catalog.pg_attribute AS system ON system.attrelid = own.attrelid AND system.attnum < 0
    WHERE own.attrelid = above.oid AND own.attnum > 0
      AND own.xmin = system.xmin AND own.cmin = system.cmin
      AND own.xmax = '0' AND system.xmax = '0'))
FROM above
