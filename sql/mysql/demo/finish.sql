-- What is cheaper to make once the rows are there, and what must not fire while they come. MySQL logs
-- what a cascade does from 9.6 on, MariaDB never: only there rows may go by one.

CREATE UNIQUE INDEX customer_known_as ON customer (known_as);
CREATE INDEX order_customer ON orders (customer);
CREATE INDEX order_open ON orders (state, placed_at);
CREATE INDEX event_at ON event (at);
CREATE INDEX kind_v ON kind (v, i DESC);
CREATE FULLTEXT INDEX staging_payload ON staging (payload);

ALTER TABLE orders ADD CONSTRAINT order_of_customer FOREIGN KEY (customer) REFERENCES customer (id);
ALTER TABLE order_line ADD CONSTRAINT line_of_order FOREIGN KEY (order_id) REFERENCES orders (id)
    /*!90600 ON UPDATE CASCADE ON DELETE CASCADE */;

CREATE TRIGGER order_placed AFTER INSERT ON orders FOR EACH ROW
    INSERT INTO order_audit (order_id, what) VALUES (NEW.id, 'placed');
CREATE TRIGGER order_changed BEFORE UPDATE ON orders FOR EACH ROW SET NEW.changed_at = NOW(6);
CREATE TRIGGER order_dropped AFTER DELETE ON orders FOR EACH ROW
    INSERT INTO order_audit (order_id, what) VALUES (OLD.id, 'dropped');

CREATE VIEW open_order AS
    SELECT orders.id, customer.name, orders.total
    FROM orders JOIN customer ON customer.id = orders.customer
    WHERE orders.state IN ('new', 'paid');
CREATE FUNCTION vat(total DECIMAL(12, 2)) RETURNS DECIMAL(12, 2) DETERMINISTIC
    RETURN ROUND(total - total / 1.2, 2);
CREATE EVENT forget_audit ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01' DO
    DELETE FROM order_audit WHERE at < NOW() - INTERVAL 1 YEAR;
