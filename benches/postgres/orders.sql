CREATE TYPE order_state AS ENUM ('new', 'paid', 'sent', 'returned');

CREATE TABLE orders (
    id bigint NOT NULL,
    reference uuid NOT NULL,
    customer integer NOT NULL,
    state order_state NOT NULL,
    amount numeric(12, 2) NOT NULL,
    ordered_at timestamptz NOT NULL,
    tags text[] NOT NULL,
    details jsonb NOT NULL,
    note text
);

INSERT INTO orders
SELECT n,
       md5(n::text)::uuid,
       n % 50000,
       (enum_range(NULL::order_state))[1 + n % 4],
       (n % 100000) / 100.0,
       timestamptz '2026-01-01' + n * interval '1 second',
       ARRAY['tag' || n % 7, 'tag' || n % 11],
       jsonb_build_object('lines', n % 9, 'coupon', md5((n * 7)::text), 'gift', n % 2 = 0),
       CASE WHEN n % 3 = 0 THEN repeat('a note ', (n % 20)::int) END
FROM generate_series(1, 1000000) AS n;

ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX orders_reference ON orders (reference);
CREATE INDEX orders_customer ON orders (customer, ordered_at);
CREATE INDEX orders_state ON orders (state) WHERE state <> 'sent';
ALTER TABLE orders ADD CHECK (amount >= 0);
