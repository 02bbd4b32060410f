-- Names, keys and types of every shape.
CREATE TABLE "Order" (
  "Order ID" INTEGER PRIMARY KEY,
  "select" TEXT NOT NULL DEFAULT 'it''s',
  "Größe" REAL,
  "2nd line" VARCHAR(20),
  "orderId" INT,
  placed DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  day DATE,
  at TIME,
  seen INTEGER DEFAULT 0,
  paid BOOLEAN NOT NULL DEFAULT 0,
  price DECIMAL(10,2) NOT NULL DEFAULT 1.5 CHECK (price >= 0),
  state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'paid', 'sent')),
  stars INTEGER CHECK (stars BETWEEN 1 AND 5),
  note TEXT COLLATE NOCASE CHECK (length(note) <= 40),
  twice REAL GENERATED ALWAYS AS ("Größe" * 2) VIRTUAL,
  data JSON,
  token UUID,
  raw BLOB,
  CONSTRAINT sent_is_paid CHECK (state <> 'sent' OR paid = 1),
  CONSTRAINT odd_one CHECK (upper(note) = note OR note IS NULL)
);
CREATE TABLE person (code TEXT PRIMARY KEY, name TEXT NOT NULL, boss TEXT REFERENCES person(code) ON DELETE SET NULL, friend TEXT REFERENCES person);
CREATE TABLE tag (id INTEGER PRIMARY KEY, word TEXT UNIQUE NOT NULL);
CREATE TABLE person_tag (person TEXT NOT NULL REFERENCES person ON DELETE CASCADE, tag_id INTEGER NOT NULL REFERENCES tag, PRIMARY KEY (person, tag_id)) WITHOUT ROWID;
CREATE TABLE shelf (room INTEGER NOT NULL, place INTEGER NOT NULL, label TEXT, PRIMARY KEY (room, place));
CREATE TABLE box (id INTEGER PRIMARY KEY, room INTEGER, place INTEGER, opened INTEGER, made TIMESTAMP, FOREIGN KEY (room, place) REFERENCES shelf (room, place) ON UPDATE CASCADE);
CREATE INDEX box_made ON box (made DESC, room);
CREATE UNIQUE INDEX box_open ON box (room) WHERE opened = 1;
CREATE TABLE log (at DATETIME, line TEXT, kind STRING);
CREATE TABLE bare (a, b);
CREATE TABLE coupon (code TEXT NOT NULL UNIQUE, cut NUMERIC);
CREATE VIEW paid_orders AS SELECT "Order ID" AS id, price FROM "Order" WHERE paid = 1;
CREATE VIEW empty_view AS SELECT 1 AS one WHERE 0;
CREATE TRIGGER tag_lower AFTER INSERT ON tag BEGIN UPDATE tag SET word = lower(new.word) WHERE id = new.id; END;
INSERT INTO "Order" ("Order ID", "select", "Größe", placed, day, at, paid, price, state, stars, note, data, token, raw) VALUES
  (1, 'a', 1.5, '2024-01-02 03:04:05', '2024-01-02', '03:04', 1, 0.1, 'sent', 5, 'ÄB', '{ "b": 1, "a": [1.50] }', '018f3e2a-0000-7000-8000-000000000001', x'00ff'),
  (2, 'b', NULL, '2024-01-03 00:00:00', NULL, NULL, 0, 10, 'new', NULL, 'ab', NULL, NULL, NULL),
  (3, 'B', -2, '2023-12-31 23:59:59.5', '2023-12-31', '23:59:59', 1, 9.999, 'paid', 1, 'AB', '[]', NULL, x'');
INSERT INTO person VALUES ('ann', 'Ann', NULL, NULL), ('bob', 'Bob', 'ann', 'ann'), ('Cy', 'Cy', 'ann', 'bob');
INSERT INTO tag VALUES (1, 'Red'), (2, 'blue');
INSERT INTO person_tag VALUES ('ann', 1), ('ann', 2), ('bob', 2);
INSERT INTO shelf VALUES (1, 1, 'a'), (1, 2, 'b');
INSERT INTO box VALUES (1, 1, 1, 1, 1704164645), (2, 1, 2, 0, 1704164646);
INSERT INTO log VALUES ('2024-01-01 00:00:00', 'x', 'a'), ('2024-01-02 00:00:00', 'x', 5);
INSERT INTO bare VALUES (1, 2), (1, 2);
INSERT INTO coupon VALUES ('ten', 10.5), ('all', 100);
