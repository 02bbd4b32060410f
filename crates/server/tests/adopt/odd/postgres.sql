-- Names, keys and types of every shape.
CREATE SCHEMA sales;
CREATE TYPE sales.mood AS ENUM ('sad', 'ok', 'Happy');
CREATE DOMAIN price AS numeric(10,2) CHECK (VALUE >= 0);
CREATE DOMAIN mail AS text NOT NULL;
CREATE TABLE "Order" (
  "Order ID" serial PRIMARY KEY,
  "select" text NOT NULL DEFAULT 'it''s',
  "Größe" real,
  "2nd line" varchar(20),
  "orderId" smallint,
  placed timestamp NOT NULL DEFAULT now(),
  sent timestamptz,
  day date,
  at time,
  paid boolean NOT NULL DEFAULT false,
  price price NOT NULL DEFAULT 1.5,
  amount numeric,
  state varchar(10) NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'paid', 'sent')),
  stars integer CHECK (stars BETWEEN 1 AND 5),
  feels sales.mood DEFAULT 'ok',
  words text[] NOT NULL DEFAULT '{}',
  numbers integer[],
  moods sales.mood[],
  twice integer GENERATED ALWAYS AS (stars * 2) STORED,
  data jsonb DEFAULT '{}',
  old json,
  token uuid DEFAULT gen_random_uuid(),
  raw bytea,
  spot point,
  host inet,
  code char(4),
  mail mail DEFAULT 'nobody',
  CONSTRAINT sent_is_paid CHECK (state <> 'sent' OR paid),
  CONSTRAINT dear CHECK (amount > 1 OR stars IS NULL OR stars < 5)
);
COMMENT ON TABLE "Order" IS 'What was "ordered".';
COMMENT ON COLUMN "Order".stars IS 'From one to five.';
CREATE TABLE sales.person (code text PRIMARY KEY, name text NOT NULL, boss text REFERENCES sales.person ON DELETE SET NULL, friend text REFERENCES sales.person);
CREATE TABLE tag (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text UNIQUE NOT NULL);
CREATE TABLE person_tag (person text NOT NULL REFERENCES sales.person ON DELETE CASCADE, tag_id bigint NOT NULL REFERENCES tag, PRIMARY KEY (person, tag_id));
CREATE TABLE shelf (room integer NOT NULL, place integer NOT NULL, label text, PRIMARY KEY (room, place));
CREATE TABLE box (id integer PRIMARY KEY, room integer, place integer, FOREIGN KEY (room, place) REFERENCES shelf (room, place));
CREATE INDEX ON box (place DESC, room);
CREATE UNIQUE INDEX box_open ON box (room) WHERE place = 1;
CREATE TABLE log (at timestamptz, line text);
CREATE TABLE bare (a integer, b integer);
CREATE TABLE reading (day date NOT NULL, sensor integer NOT NULL, value double precision, PRIMARY KEY (day, sensor)) PARTITION BY RANGE (day);
CREATE TABLE reading_2024 PARTITION OF reading FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE VIEW paid_orders AS SELECT "Order ID" AS id, price FROM "Order" WHERE paid;
CREATE MATERIALIZED VIEW sales.totals AS SELECT state, count(*) AS orders FROM "Order" GROUP BY state;
INSERT INTO "Order" ("select", "Größe", placed, sent, day, at, paid, price, amount, state, stars, feels, words, numbers, moods, data, old, token, raw, spot, host, code) VALUES
  ('a', 1.5, '2024-01-02 03:04:05', '2024-01-02 03:04:05+02', '2024-01-02', '03:04', true, 0.1, 1.25, 'sent', 5, 'Happy', '{a,"b c"}', '{1,2}', '{sad,ok}', '{"b": 1, "a": [1.50]}', '{ "b": 1, "a": [1.50] }', '018f3e2a-0000-7000-8000-000000000001', '\x00ff', '(1,2)', '10.0.0.1', 'ab'),
  ('b', NULL, '2024-01-03', NULL, NULL, NULL, false, 10, 2, 'new', NULL, NULL, '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('B', -2, '2023-12-31 23:59:59.5', NULL, '2023-12-31', '23:59:59', true, 9.99, 3.5, 'paid', 1, 'sad', '{}', '{}', NULL, '[]', '[]', NULL, '', NULL, NULL, 'abcd');
REFRESH MATERIALIZED VIEW sales.totals;
INSERT INTO sales.person VALUES ('ann', 'Ann', NULL, NULL), ('bob', 'Bob', 'ann', 'ann'), ('Cy', 'Cy', 'ann', 'bob');
INSERT INTO tag (word) VALUES ('red'), ('blue');
INSERT INTO person_tag VALUES ('ann', 1), ('ann', 2), ('bob', 2);
INSERT INTO shelf VALUES (1, 1, 'a'), (1, 2, 'b');
INSERT INTO box VALUES (1, 1, 1), (2, 1, 2);
INSERT INTO log VALUES ('2024-01-01', 'x'), ('2024-01-02', 'x');
INSERT INTO reading VALUES ('2024-05-01', 1, 0.5);
