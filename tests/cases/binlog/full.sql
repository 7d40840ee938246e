-- The same rows again, in events that describe their columns in full.
UPDATE integers SET id = id + 100;
UPDATE numbers SET id = id + 100;
UPDATE times SET id = id + 100;
UPDATE texts SET id = id + 100;
UPDATE bytes SET id = id + 100;
UPDATE labels SET id = id + 100;
UPDATE shapes SET id = id + 100;
UPDATE computed SET id = id + 100;
UPDATE documents SET id = id + 100 WHERE id <> 5;
UPDATE hidden SET id = id + 100;
