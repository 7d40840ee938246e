-- Changes of every one of them.
DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT relname FROM pg_class WHERE relname ~ '^k_' AND relkind = 'r' LOOP
        EXECUTE format('UPDATE %I SET v = 1', t);
        EXECUTE format('DELETE FROM %1$I WHERE ctid = (SELECT ctid FROM %1$I ORDER BY k DESC LIMIT 1)', t);
        EXECUTE format('CREATE TEMP TABLE spare AS SELECT * FROM %1$I; DELETE FROM %1$I WHERE ctid = (SELECT min(ctid) FROM %1$I); DELETE FROM %1$I; INSERT INTO %1$I TABLE spare; UPDATE %1$I SET v = 2; DROP TABLE spare', t);
    END LOOP; END $$;
UPDATE k_citext SET k = 'ABC' WHERE k = 'abc';
UPDATE k_nocase SET k = 'ABC' WHERE k = 'abc';
UPDATE k_numeric SET k = 1.000 WHERE k = 1;
UPDATE k_jsonb SET k = '{"a": 1.00}' WHERE k = '{"a": 1}';
UPDATE k_char SET c = 'y', v = 3; UPDATE k_bytea SET k = '\x01' WHERE k = '';
CREATE TEMP TABLE spare AS SELECT * FROM many WHERE id = 1; UPDATE spare SET id = 10;
INSERT INTO many TABLE spare; DROP TABLE spare;
UPDATE many SET j = '{}', tx = '{}' WHERE id = 1; UPDATE many SET b = '', x = NULL WHERE id = 10;
UPDATE many SET f8 = '-0', n = '-Infinity', ps = '{5}', gp = NULL WHERE id = 2;
DELETE FROM many WHERE id = 3
