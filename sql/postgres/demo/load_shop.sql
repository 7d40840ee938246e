-- `demo.per_mille` says how many thousandths of the full size are loaded.

INSERT INTO shop.customers
SELECT
    md5('customer ' || n)::uuid,
    'Customer ' || n,
    'customer' || n || '@example.org',
    ROW('Street "' || n || '"', CASE WHEN n % 3 = 0 THEN NULL ELSE 'Town, ' || n % 97 END, n::text)::shop.address,
    CASE n % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['a,b', NULL, 'NULL'] ELSE ARRAY['tag' || n % 50] END,
    CASE n % 5 WHEN 0 THEN NULL ELSE jsonb_build_object('news', n % 2 = 0, 'level', n % 10) END,
    CASE n % 100 WHEN 0 THEN 'NaN'::double precision WHEN 1 THEN '-Infinity' ELSE n / 7.0 END,
    date '2020-01-01' + (n % 2000)::integer
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 50) AS n;

INSERT INTO shop.orders
    (id, customer_id, state, history, total, quantities, details, delivery, sender, signature, placed_at)
SELECT
    n,
    md5('customer ' || n % (current_setting('demo.per_mille')::bigint * 50) + 1)::uuid,
    (enum_range(NULL::shop.order_state))[n % 5 + 1],
    (enum_range(NULL::shop.order_state))[1:n % 5 + 1],
    (n % 100000) / 100.0,
    ARRAY[n % 9, n % 7]::integer[],
    jsonb_build_object('note', 'order ' || n, 'gift', n % 11 = 0, 'weight', n / 13.0),
    CASE WHEN n % 3 = 0 THEN NULL
         ELSE tstzrange(timestamptz '2026-01-01 00:00+00' + n * interval '1 minute', NULL) END,
    ('10.' || n % 250 || '.0.1')::inet,
    decode(md5(n::text), 'hex'),
    timestamptz '2026-01-01 00:00+00' + n * interval '20 seconds'
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 300) AS n;

SELECT setval('shop.orders_id_seq', current_setting('demo.per_mille')::bigint * 300);

INSERT INTO shop.order_lines
SELECT n, line, 'SKU-' || (n * line) % 10007, (n % 5000) / 100.0
FROM generate_series(1, current_setting('demo.per_mille')::bigint * 300) AS n,
    generate_series(1, 2) AS line;
