UPDATE shop.virtual SET v = v || 'y' WHERE id < 10;
DELETE FROM shop.virtual WHERE id = 15;
INSERT INTO shop.not_nulls VALUES (100, 'v', 'w');
UPDATE shop.stays SET guest = NULL WHERE room < 5;
DELETE FROM shop.meals WHERE id = 3;
