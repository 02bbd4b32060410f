-- The facts of PostgreSQL that the design of row-level security in 0014 rests on, each with its contrary as a control. Run as a superuser
-- on a server to play with; it leaves nothing behind, and stops at the first fact that is not so:
--   psql -X -q -At -v ON_ERROR_STOP=1 postgres://…/postgres -f 0014-row-security.sql
-- Absent: anything of Undergird's. What is built of it is in crates/store-postgres/src/wall.rs.
BEGIN;
CREATE ROLE ug_probe_owner;
CREATE ROLE ug_probe_requests;
GRANT ug_probe_requests TO ug_probe_owner;
CREATE SCHEMA ug_probe AUTHORIZATION ug_probe_owner;
GRANT USAGE ON SCHEMA ug_probe TO ug_probe_requests;
SET LOCAL search_path = ug_probe;
SET LOCAL SESSION AUTHORIZATION ug_probe_owner;

CREATE FUNCTION verb() RETURNS text LANGUAGE sql STABLE RETURN current_setting('undergird.verb', true);
CREATE FUNCTION me() RETURNS text LANGUAGE sql STABLE RETURN current_setting('undergird.id', true);
-- read: owner is me. create: team is 1. update, delete: team is 1, of what may be read.
CREATE TABLE posts(id int PRIMARY KEY, owner text, team int);
CREATE TABLE naive(id int PRIMARY KEY, owner text, team int);
CREATE TABLE children(id int PRIMARY KEY, post int REFERENCES posts ON DELETE CASCADE);
CREATE TABLE members(team int, who text, PRIMARY KEY (team, who));
CREATE TABLE by_table(id int, team int);
CREATE TABLE by_view(id int, team int);
CREATE TABLE by_absence(id int, team int);
CREATE TABLE searched(id int, t tsvector);
CREATE VIEW members_of_rules AS SELECT team, who FROM members;
GRANT ALL ON ALL TABLES IN SCHEMA ug_probe TO ug_probe_requests;
INSERT INTO posts VALUES (1, 'me', 1), (2, 'me', 2), (3, 'you', 1);
INSERT INTO naive VALUES (1, 'me', 1), (2, 'me', 2), (3, 'you', 1);
INSERT INTO children VALUES (1, 1), (2, 3);
INSERT INTO members VALUES (1, 'me');
INSERT INTO by_table VALUES (1, 1), (2, 2);
INSERT INTO by_view VALUES (1, 1), (2, 2);
INSERT INTO by_absence VALUES (1, 1), (2, 2);
INSERT INTO searched SELECT g, to_tsvector('simple', 'word' || g) FROM generate_series(1, 20000) g;
CREATE INDEX searched_t ON searched USING gin(t);
ANALYZE searched;

CREATE POLICY s ON naive FOR SELECT USING (owner = me());
CREATE POLICY i ON naive FOR INSERT WITH CHECK (team = 1);
CREATE POLICY u ON naive FOR UPDATE USING (team = 1);
CREATE POLICY s ON posts FOR SELECT USING (CASE verb() WHEN 'read' THEN owner = me() WHEN 'create' THEN team = 1
    WHEN 'update' THEN team = 1 WHEN 'delete' THEN owner = me() AND team = 1 ELSE FALSE END);
CREATE POLICY i ON posts FOR INSERT WITH CHECK (verb() = 'create' AND team = 1);
CREATE POLICY u ON posts FOR UPDATE USING (verb() = 'update' AND owner = me() AND team = 1) WITH CHECK (verb() = 'update' AND team = 1);
CREATE POLICY d ON posts FOR DELETE USING (verb() = 'delete' AND owner = me() AND team = 1);
CREATE POLICY i ON children FOR INSERT WITH CHECK (TRUE);
CREATE POLICY s ON by_table FOR SELECT USING (EXISTS (SELECT FROM members m WHERE m.team = by_table.team AND m.who = me()));
CREATE POLICY s ON by_absence FOR SELECT USING (NOT EXISTS (SELECT FROM members m WHERE m.team = by_absence.team AND m.who = me()));
CREATE POLICY s ON by_view FOR SELECT USING (EXISTS (SELECT FROM members_of_rules m WHERE m.team = by_view.team AND m.who = me()));
CREATE POLICY s ON searched FOR SELECT USING (me() = 'me');
ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
ALTER TABLE naive ENABLE ROW LEVEL SECURITY;
ALTER TABLE children ENABLE ROW LEVEL SECURITY;
ALTER TABLE members ENABLE ROW LEVEL SECURITY;
ALTER TABLE by_table ENABLE ROW LEVEL SECURITY;
ALTER TABLE by_absence ENABLE ROW LEVEL SECURITY;
ALTER TABLE by_view ENABLE ROW LEVEL SECURITY;
ALTER TABLE searched ENABLE ROW LEVEL SECURITY;

-- How a statement ends: the ids that it gives, or the SQLSTATE. What it did is undone.
CREATE FUNCTION ends(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE ids text;
BEGIN
    BEGIN
        EXECUTE format('WITH x AS (%s) SELECT coalesce(string_agg(id::text, '','' ORDER BY id), '''') FROM x', statement) INTO ids;
        RAISE EXCEPTION SQLSTATE 'UG000';
    EXCEPTION WHEN SQLSTATE 'UG000' THEN RETURN ids; WHEN OTHERS THEN RETURN SQLSTATE;
    END;
END $$;
CREATE FUNCTION plan(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; told text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP told := told || line; END LOOP;
    RETURN told;
END $$;
CREATE FUNCTION steps_up() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    PERFORM set_config('role', 'none', true);
    SELECT count(*) INTO n FROM posts;
    RETURN n;
END $$;
CREATE PROCEDURE is(fact text, told text, expected text) LANGUAGE plpgsql AS $$
BEGIN
    IF told IS DISTINCT FROM expected THEN RAISE EXCEPTION '%: % instead of %', fact, told, expected; END IF;
END $$;

CALL is('the owner sees everything', ends('SELECT id FROM posts'), '1,2,3');
CALL is('the owner finds by the index', (plan('SELECT id FROM searched WHERE t @@ ''word7''') LIKE '%searched_t%')::text, 'true');
SET LOCAL ROLE ug_probe_requests;
CALL is('without facts nothing is seen', ends('SELECT id FROM posts'), '');
CALL is('nor changed', ends('UPDATE posts SET team = 1 RETURNING id'), '');
SELECT set_config('undergird.id', 'me', true);
CALL is('a user alone is no verb', ends('SELECT id FROM posts'), '');

-- The design as it was first decided, one policy for each rule:
CALL is('what is made must be readable to give its key', ends('INSERT INTO naive VALUES (4, ''you'', 1) RETURNING id'), '42501');
CALL is('what is changed must stay readable', ends('UPDATE naive SET owner = ''you'' WHERE id = 1 RETURNING id'), '42501');
CALL is('rules do not see through other rules', ends('SELECT id FROM by_table'), '');
CALL is('and are opened where they deny', ends('SELECT id FROM by_absence'), '1,2');
-- With the verb as a fact, and a view for what rules look at:
SELECT set_config('undergird.verb', 'read', true);
CALL is('read', ends('SELECT id FROM posts'), '1,2');
CALL is('reads change nothing', ends('UPDATE posts SET team = 1 RETURNING id'), '');
CALL is('rules see what their views show', ends('SELECT id FROM by_view'), '1');
SELECT set_config('undergird.verb', 'create', true);
CALL is('made out of sight', ends('INSERT INTO posts VALUES (4, ''you'', 1) RETURNING id'), '4');
CALL is('not made', ends('INSERT INTO posts VALUES (4, ''me'', 2) RETURNING id'), '42501');
CALL is('unique against hidden rows', ends('INSERT INTO posts VALUES (3, ''me'', 1) RETURNING id'), '23505');
SELECT set_config('undergird.verb', 'update', true);
CALL is('changed out of sight', ends('UPDATE posts SET owner = ''you'' RETURNING id'), '1');
CALL is('not given away', ends('UPDATE posts SET team = 2 RETURNING id'), '42501');
SELECT set_config('undergird.verb', 'delete', true);
CALL is('removed', ends('DELETE FROM posts RETURNING id'), '1');
-- The rest:
INSERT INTO children VALUES (3, 3);
DO $$ BEGIN INSERT INTO children VALUES (4, 99); RAISE EXCEPTION 'a reference to nothing'; EXCEPTION WHEN foreign_key_violation THEN END $$;
CALL is('an operator that is not leakproof has no index',
    (plan('SELECT id FROM searched WHERE t @@ ''word7''') LIKE '%searched_t%')::text, 'false');
DELETE FROM posts;
CALL is('a function steps up again, for good', steps_up()::text || ' ' || current_user, '2 ug_probe_owner');
RESET ROLE;
CALL is('references and cascades see through policies', ends('SELECT id FROM children'), '2,3');
CALL is('and nothing else went', ends('SELECT id FROM posts'), '2,3');

-- A login of its own cannot step up, but can still say that it is somebody else.
RESET SESSION AUTHORIZATION;
SET LOCAL SESSION AUTHORIZATION ug_probe_requests;
SELECT set_config('undergird.verb', 'read', true), set_config('undergird.id', 'me', true);
CALL is('a function of another login stays below', steps_up()::text, '1');
DO $$ BEGIN SET LOCAL ROLE ug_probe_owner; RAISE EXCEPTION 'stepped up'; EXCEPTION WHEN insufficient_privilege THEN END $$;
SELECT set_config('undergird.id', 'you', true);
CALL is('facts are the word of whoever sets them', ends('SELECT id FROM posts'), '3');
RESET SESSION AUTHORIZATION;
ROLLBACK;
