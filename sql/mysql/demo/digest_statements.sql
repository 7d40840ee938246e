-- For every table of a database: its name, its columns, and the statement that digests its rows.
-- The digest is a sum over rows, so their order does not matter; columns go by name, so neither
-- does theirs. A value goes in by its bytes: long ones by a hash of them, since nothing longer than
-- max_allowed_packet can be put together. A row that cannot be hashed equals no other.

SELECT
    tables.table_name AS name,
    GROUP_CONCAT(columns.column_name, ' ', columns.column_type ORDER BY columns.column_name
        SEPARATOR ', ') AS shape,
    CONCAT(
        'SELECT COUNT(*), CAST(COALESCE(SUM(CAST(CONV(LEFT(COALESCE(SHA2(CONCAT(',
        GROUP_CONCAT('IF(', columns.quoted, ' IS NULL, ''-'', ', columns.bytes, ')'
            ORDER BY columns.column_name SEPARATOR ', '','', '),
        '), 256), SHA2(UUID(), 256)), 16), 16, 10) AS UNSIGNED)), 0) AS CHAR) FROM `',
        REPLACE(tables.table_schema, '`', '``'), '`.`', REPLACE(tables.table_name, '`', '``'), '`'
    ) AS statement
FROM information_schema.tables AS tables
JOIN (
    SELECT
        named.*,
        CASE
            -- Multiplied, since FLOAT as text has six digits; as a double it has all that it has.
            WHEN data_type IN ('float', 'double') THEN CONCAT('CAST(', quoted, ' * 1e0 AS CHAR)')
            -- The number, since two labels may look the same.
            WHEN data_type IN ('enum', 'set', 'bit')
                THEN CONCAT('CAST(CAST(', quoted, ' AS UNSIGNED) AS CHAR)')
            WHEN data_type IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal',
                'date', 'time', 'datetime', 'timestamp', 'year')
                THEN CONCAT('CAST(', quoted, ' AS CHAR)')
            WHEN data_type REGEXP '(char|text|binary|blob)$'
                THEN CONCAT('SHA2(CAST(', quoted, ' AS BINARY), 256)')
            WHEN data_type = 'json'
                THEN CONCAT('SHA2(CAST(', quoted, ' AS CHAR CHARACTER SET utf8mb4), 256)')
            ELSE CONCAT('SHA2(HEX(', quoted, '), 256)')
        END AS bytes
    FROM (
        SELECT
            table_schema, table_name, column_name, column_type, data_type,
            CONCAT('`', REPLACE(column_name, '`', '``'), '`') AS quoted
        FROM information_schema.columns
    ) AS named
) AS columns USING (table_schema, table_name)
WHERE tables.table_schema = ? AND tables.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
GROUP BY tables.table_schema, tables.table_name
ORDER BY tables.table_name
