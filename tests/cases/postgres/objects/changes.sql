-- Changes that go through the stream, of tables with all that hangs on them.
UPDATE shop.customer SET name = name || '!', code = code || 'x' WHERE id < 50;
INSERT INTO shop.customer (code, name, w) VALUES ('new', 'new', '9');
DELETE FROM shop.orders WHERE id < 10;
UPDATE shop.orders SET note = NULL, span = '[1,2)' WHERE id > 20;
UPDATE shop.by_index SET code = 'moved' WHERE code = '5';
DELETE FROM shop.by_key WHERE id = 3;
UPDATE shop.of_pair SET m = 'so so';
UPDATE shop.child SET own = 1, id = id + 1000 WHERE id < 110;
UPDATE shop.base SET v = 'all' WHERE id < 5;
INSERT INTO shop.joined VALUES (100, 1, 'more');
UPDATE shop.events SET region = 'elsewhere', at = at + 30 WHERE id % 10 = 1;
DELETE FROM shop.event_notes WHERE id < 20;
DELETE FROM shop.events WHERE id = 7;
SELECT nextval('shop.every_option');
