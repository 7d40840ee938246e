-- What is cheaper to make once the rows are there, and what must not fire while they come.

CREATE UNIQUE INDEX customers_email ON shop.customers (lower(email));
CREATE INDEX customers_tags ON shop.customers USING gin (tags);
CREATE INDEX orders_customer ON shop.orders (customer_id);
CREATE INDEX orders_open ON shop.orders (placed_at) WHERE state <> 'sent';
CREATE INDEX events_at ON metrics.events USING brin (at);

ALTER TABLE shop.orders ADD CONSTRAINT orders_customer_fkey
    FOREIGN KEY (customer_id) REFERENCES shop.customers ON UPDATE CASCADE;
ALTER TABLE shop.order_lines ADD CONSTRAINT order_lines_order_fkey
    FOREIGN KEY (order_id) REFERENCES shop.orders ON UPDATE CASCADE ON DELETE CASCADE;

CREATE TRIGGER orders_noted BEFORE INSERT OR UPDATE OR DELETE ON shop.orders
    FOR EACH ROW EXECUTE FUNCTION shop.note_order();

CREATE VIEW shop.open_orders AS
    SELECT o.id, c.name, o.total FROM shop.orders AS o JOIN shop.customers AS c ON c.id = o.customer_id
    WHERE o.state IN ('new', 'paid');
CREATE MATERIALIZED VIEW shop.sales_by_state AS
    SELECT state, count(*) AS orders, sum(total) AS total FROM shop.orders GROUP BY state;
CREATE UNIQUE INDEX sales_by_state_key ON shop.sales_by_state (state);

ANALYZE;
