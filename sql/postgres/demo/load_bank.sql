-- `demo.per_mille` says how many thousandths of the full size are loaded.

INSERT INTO pgbench_branches
SELECT branch, 0, '' FROM generate_series(1, 10) AS branch;

INSERT INTO pgbench_tellers
SELECT teller, (teller - 1) / 10 + 1, 0, '' FROM generate_series(1, 100) AS teller;

INSERT INTO pgbench_accounts
SELECT account, account % 10 + 1, 0, ''
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 1000) AS account;

INSERT INTO pgbench_history
SELECT n % 100 + 1, n % 10 + 1, n, n % 5000, timestamp '2026-01-01' + n * interval '1 second', ''
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 200) AS n;

INSERT INTO shop.documents
SELECT id, 'Document ' || id, repeat(md5(id::text) || sha512(id::text::bytea)::text, 120)
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 2) AS id;
