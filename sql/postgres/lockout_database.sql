-- The database, what it says itself of transactions that only read, and whether our role may alter it.
SELECT d.datname::text AS name,
       pg_catalog.pg_has_role(d.datdba, 'USAGE') AS permitted,
       (SELECT pg_catalog.split_part(setting, '=', 2)
        FROM pg_catalog.pg_db_role_setting AS s, pg_catalog.unnest(s.setconfig) AS setting
        WHERE s.setdatabase = d.oid AND s.setrole = 0
          AND pg_catalog.split_part(setting, '=', 1) = 'default_transaction_read_only') AS before
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
