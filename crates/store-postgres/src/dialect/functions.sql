-- The functions that make PostgreSQL compute what our expressions mean, where no built-in does: an overflow that must be null and not an
-- error, doubles and JSON compared by exact value, text read and written as the wire does. All are pure and fail on no data. Their meaning
-- is that of `plan::function`; the differential test holds them to it. Those in SQL that are not STRICT are null of null all the same: the
-- planner writes them into the statement, which it cannot do with a CASE in a STRICT one.

-- Numbers ------------------------------------------------------------------------------------------------------------------------------

-- A whole number as an int, when it fits.
CREATE OR REPLACE FUNCTION undergird.int(x numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN x BETWEEN -9223372036854775808 AND 9223372036854775807 THEN x::bigint END $$;

-- A decimal rounded half away from zero, when it has not more than p digits.
CREATE OR REPLACE FUNCTION undergird.dec(x numeric, p int, s int) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN abs(round(x, s)) < ('1e' || (p - s))::numeric THEN round(x, s) END $$;

-- A sum of decimals, as far as their unscaled number is an int.
CREATE OR REPLACE FUNCTION undergird.sum(x numeric, s int) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN undergird.int(x * ('1e' || s)::numeric) IS NOT NULL THEN x END $$;

-- The exact value of a double.
CREATE OR REPLACE FUNCTION undergird.exact(f double precision) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  b bigint;
  e int;
  m numeric;
BEGIN
  IF f = 'Infinity' OR f = '-Infinity' OR (abs(f) < 9007199254740992 AND f = trunc(f)) THEN
    RETURN f::text::numeric;
  END IF;
  b := ('x' || encode(float8send(f), 'hex'))::bit(64)::bigint;
  e := ((b >> 52) & 2047)::int;
  m := (b & 4503599627370495)::numeric;
  IF e = 0 THEN e := 1; ELSE m := m + 4503599627370496; END IF;
  IF b < 0 THEN m := -m; END IF;
  e := e - 1075;
  IF e >= 0 THEN
    FOR i IN 1..e LOOP m := m * 2; END LOOP;
    RETURN m;
  END IF;
  WHILE e < 0 AND mod(m, 2) = 0 LOOP m := div(m, 2); e := e + 1; END LOOP;
  FOR i IN 1..-e LOOP m := m * 5; END LOOP;
  RETURN m * ('1e' || e)::numeric;
END $$;

CREATE OR REPLACE FUNCTION undergird.f_add(a double precision, b double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN RETURN a + b + 0; EXCEPTION WHEN numeric_value_out_of_range THEN RETURN NULL; END $$;

CREATE OR REPLACE FUNCTION undergird.f_subtract(a double precision, b double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN RETURN a - b + 0; EXCEPTION WHEN numeric_value_out_of_range THEN RETURN NULL; END $$;

-- What is too small is 0, as everywhere else; PostgreSQL fails.
CREATE OR REPLACE FUNCTION undergird.f_multiply(a double precision, b double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN a * b + 0;
EXCEPTION WHEN numeric_value_out_of_range THEN
  IF abs(a) < 1 OR abs(b) < 1 THEN RETURN 0; END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION undergird.f_divide(a double precision, b double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF b = 0 THEN RETURN NULL; END IF;
  RETURN a / b + 0;
EXCEPTION WHEN numeric_value_out_of_range THEN
  IF abs(b) > 1 THEN RETURN 0; END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION undergird.f_rest(a double precision, b double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF b = 0 THEN RETURN NULL; END IF;
  RETURN mod(undergird.exact(a), undergird.exact(b))::text::double precision + 0;
END $$;

-- A whole double as an int, when it fits.
CREATE OR REPLACE FUNCTION undergird.f_int(f double precision) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN f >= -9223372036854775808 AND f < 9223372036854775808 THEN f::bigint END $$;

-- The shortest digits of a double, as the wire writes them.
CREATE OR REPLACE FUNCTION undergird.f_text(f double precision) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  t text := abs(f)::text;
  m text := split_part(t, 'e', 1);
  e int := coalesce(nullif(split_part(t, 'e', 2), '')::int, 0);
  k int;
  n int;
  s text := CASE WHEN f < 0 THEN '-' ELSE '' END;
BEGIN
  IF f = 0 THEN RETURN '0'; END IF;
  k := length(split_part(m, '.', 1)) + e;
  m := replace(m, '.', '');
  n := length(m);
  m := ltrim(m, '0');
  k := k - (n - length(m));
  m := rtrim(m, '0');
  n := length(m);
  RETURN s || CASE
    WHEN n <= k AND k <= 16 THEN m || repeat('0', k - n)
    WHEN 0 < k AND k <= 16 THEN left(m, k) || '.' || substr(m, k + 1)
    WHEN -5 < k AND k <= 0 THEN '0.' || repeat('0', -k) || m
    WHEN n = 1 THEN m || 'e' || (k - 1)
    ELSE left(m, 1) || '.' || substr(m, 2) || 'e' || (k - 1) END;
END $$;

-- A number in JSON's grammar, `+5`, `.5` and `5.` too; null when it is none, or beyond what any kind holds. An exponent of more than three
-- digits stands for one of three.
CREATE OR REPLACE FUNCTION undergird.number(t text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  p text[];
BEGIN
  p := regexp_match(t COLLATE "C", '^([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?)0*([0-9]*))?$');
  IF p IS NULL OR length(p[2]) > 20000 THEN RETURN NULL; END IF;
  RETURN (p[1] || p[2] || 'e' || coalesce(p[3], '') || CASE WHEN length(p[4]) > 3 THEN '999' ELSE coalesce(nullif(p[4], ''), '0') END)::numeric;
END $$;

-- The double next to a number; null where none is near.
CREATE OR REPLACE FUNCTION undergird.f_of(n numeric) RETURNS double precision LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF n = 0 OR abs(n) <= 2.4703282292062327208e-324 THEN RETURN 0; END IF;
  -- Half a step above the greatest double.
  IF abs(n) >= 179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880 THEN
    RETURN NULL;
  END IF;
  RETURN n::text::double precision;
END $$;

-- A sum of doubles, of which those far from zero are kept apart: theirs may be too large.
CREATE OR REPLACE FUNCTION undergird.f_far(near double precision, far double precision[]) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT undergird.f_of(undergird.exact(coalesce(near, 0)) + sum(undergird.exact(v))) FROM unnest(far) AS of(v)
$$;

CREATE OR REPLACE FUNCTION undergird.f_sum(near double precision, far double precision[]) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN far IS NULL THEN near ELSE undergird.f_far(near, far) END $$;

-- Text read as a value: null when it is none -----------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION undergird.t_int(t text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE WHEN t COLLATE "C" ~ '^[+-]?0*[0-9]{1,19}$' THEN undergird.int(t::numeric) END $$;

-- As field values are read: `1.0` and `1e3` are whole numbers too.
CREATE OR REPLACE FUNCTION undergird.int_of(t text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE WHEN n = trunc(n) THEN undergird.int(n) END FROM (SELECT undergird.number(t) AS n) AS of $$;

CREATE OR REPLACE FUNCTION undergird.uuid(t text) RETURNS uuid LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF t COLLATE "C" ~ '^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$' THEN RETURN t::uuid; END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION undergird.date(t text) RETURNS date LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  y int;
  m int;
  d int;
BEGIN
  IF t COLLATE "C" !~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$' THEN RETURN NULL; END IF;
  y := left(t, 4)::int;
  m := substr(t, 6, 2)::int;
  d := right(t, 2)::int;
  IF y = 0 OR (d = 31 AND m IN (2, 4, 6, 9, 11)) OR (m = 2 AND d = 30)
    OR (m = 2 AND d = 29 AND NOT (y % 4 = 0 AND (y % 100 <> 0 OR y % 400 = 0))) THEN
    RETURN NULL;
  END IF;
  RETURN make_date(y, m, d);
END $$;

-- Microseconds of a time of day `HH:MM[:SS[.f…]]`, the next midnight perhaps; null when it is none.
CREATE OR REPLACE FUNCTION undergird.clock(t text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  n bigint := 0;
BEGIN
  IF t COLLATE "C" !~ '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?$' THEN RETURN NULL; END IF;
  IF position('.' IN t) > 0 THEN n := (rpad(split_part(t, '.', 2), 9, '0')::bigint + 500) / 1000; END IF;
  RETURN (left(t, 2)::bigint * 60 + substr(t, 4, 2)::bigint) * 60000000
    + coalesce(nullif(substr(t, 7, 2), '')::bigint, 0) * 1000000 + n;
END $$;

-- Microseconds of a duration as Go writes it: `-1h30m`, `1.5s`. What is finer than a nanosecond is dropped unit by unit, as there.
CREATE OR REPLACE FUNCTION undergird.span(t text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  r text := CASE WHEN left(t, 1) IN ('-', '+') THEN substr(t, 2) ELSE t END;
  p text[];
  u numeric;
  n numeric := 0;
BEGIN
  IF r = '0' THEN RETURN 0; END IF;
  IF r = '' OR octet_length(r) > 64 THEN RETURN NULL; END IF;
  WHILE r <> '' LOOP
    p := regexp_match(r COLLATE "C", '^([0-9]{0,20})(?:\.([0-9]{0,12}))?([^0-9.]+)');
    IF p IS NULL OR (p[1] = '' AND coalesce(p[2], '') = '') THEN RETURN NULL; END IF;
    u := CASE p[3] WHEN 'h' THEN 3600000000000 WHEN 'm' THEN 60000000000 WHEN 's' THEN 1000000000 WHEN 'ms' THEN 1000000
      WHEN 'us' THEN 1000 WHEN U&'\00B5s' THEN 1000 WHEN U&'\03BCs' THEN 1000 WHEN 'ns' THEN 1 END;
    IF u IS NULL THEN RETURN NULL; END IF;
    n := n + coalesce(nullif(p[1], '')::numeric, 0) * u;
    IF p[2] <> '' THEN n := n + div(p[2]::numeric * u, ('1e' || length(p[2]))::numeric); END IF;
    r := substr(r, length(p[1]) + coalesce(length(p[2]) + 1, 0) + length(p[3]) + 1);
  END LOOP;
  IF n > 315576000000000000000 THEN RETURN NULL; END IF;
  n := div(n, 1000);
  RETURN CASE WHEN left(t, 1) = '-' THEN -n ELSE n END;
END $$;

CREATE OR REPLACE FUNCTION undergird.time(t text) RETURNS time LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE WHEN n < 86400000000 THEN time '00:00' + n * interval '1 microsecond' END FROM (SELECT undergird.clock(t) AS n) AS of $$;

-- Microseconds since 1970 of an instant, and back, within the years 1 to 9999.
CREATE OR REPLACE FUNCTION undergird.micros(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM at) * 1000000)::bigint $$;

CREATE OR REPLACE FUNCTION undergird.instant(m numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN m BETWEEN -62135596800000000 AND 253402300799999999 THEN
    (timestamp '1970-01-01' + div(m, 86400000000)::bigint * interval '1 day' + mod(m, 86400000000)::bigint * interval '1 microsecond')
      AT TIME ZONE 'UTC' END
$$;

CREATE OR REPLACE FUNCTION undergird.moment(t text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  d date := undergird.date(left(t, 10));
  p text[];
  m numeric;
  c bigint;
  h int;
  n int;
BEGIN
  IF d IS NULL THEN RETURN NULL; END IF;
  m := (d - date '1970-01-01')::numeric * 86400000000;
  IF length(t) > 10 THEN
    p := regexp_match(substr(t, 11) COLLATE "C", '^[Tt ]([0-9:.]+)(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?$');
    IF p IS NULL THEN RETURN NULL; END IF;
    c := undergird.clock(p[1]);
    IF c IS NULL THEN RETURN NULL; END IF;
    m := m + c;
    IF p[2] IS NOT NULL THEN
      h := p[3]::int;
      n := coalesce(p[4], '0')::int;
      IF h > 23 OR n > 59 THEN RETURN NULL; END IF;
      c := (h * 60 + n) * 60000000::bigint;
      m := CASE WHEN p[2] = '-' THEN m + c ELSE m - c END;
    END IF;
  END IF;
  RETURN undergird.instant(m);
END $$;

-- Base64 with padding or without, or PostgreSQL's `\x` and hexadecimal digits.
CREATE OR REPLACE FUNCTION undergird.octets(t text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF left(t, 2) = '\x' THEN
    IF t COLLATE "C" ~ '^..([0-9a-fA-F]{2})*$' THEN RETURN decode(substr(t, 3), 'hex'); END IF;
    RETURN NULL;
  END IF;
  IF t COLLATE "C" !~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?$' THEN RETURN NULL; END IF;
  t := rtrim(t, '=');
  RETURN decode(t || repeat('=', (4 - length(t) % 4) % 4), 'base64');
END $$;

CREATE OR REPLACE FUNCTION undergird.bool(t text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN t IN ('1', 't', 'T', 'TRUE', 'true', 'True') THEN TRUE
    WHEN t IN ('0', 'f', 'F', 'FALSE', 'false', 'False') THEN FALSE END
$$;

-- The words that PostgreSQL takes.
CREATE OR REPLACE FUNCTION undergird.bool_word(t text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN lower(t COLLATE "C") IN ('true', 't', 'yes', 'y', 'on', '1') THEN TRUE
    WHEN lower(t COLLATE "C") IN ('false', 'f', 'no', 'n', 'off', '0') THEN FALSE END
$$;

-- Text of values -------------------------------------------------------------------------------------------------------------------------

-- A fraction of a second without what it need not say.
CREATE OR REPLACE FUNCTION undergird.trimmed(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT rtrim(rtrim(t, '0'), '.') $$;

CREATE OR REPLACE FUNCTION undergird.span_text(d bigint) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN d < 0 THEN '-' ELSE '' END || div(a, 1000000)
    || CASE WHEN mod(a, 1000000) = 0 THEN '' ELSE '.' || rtrim(lpad(mod(a, 1000000)::text, 6, '0'), '0') END || 's'
  FROM (SELECT abs(d::numeric) AS a) AS of
$$;

-- LIKE -----------------------------------------------------------------------------------------------------------------------------------

-- The pattern itself; null when it ends in the middle of an escape, or is too long.
CREATE OR REPLACE FUNCTION undergird.pattern(p text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN length(p) <= 4000 AND length(regexp_replace(p COLLATE "C", '\\.', 'x', 'g')) <= 2000
    AND p COLLATE "C" !~ '^([^\\]|\\.)*\\$' THEN p END
$$;

-- JSON -----------------------------------------------------------------------------------------------------------------------------------

-- Without white space.
CREATE OR REPLACE FUNCTION undergird.compact(j jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE jsonb_typeof(j)
    WHEN 'object' THEN
      RETURN '{' || coalesce((SELECT string_agg(to_jsonb(o.key)::text || ':' || undergird.compact(o.value), ',' ORDER BY o.n)
        FROM jsonb_each(j) WITH ORDINALITY AS o(key, value, n)), '') || '}';
    WHEN 'array' THEN
      RETURN '[' || coalesce((SELECT string_agg(undergird.compact(a.value), ',' ORDER BY a.n)
        FROM jsonb_array_elements(j) WITH ORDINALITY AS a(value, n)), '') || ']';
    ELSE RETURN j::text;
  END CASE;
END $$;

-- JSON read from text.
CREATE OR REPLACE FUNCTION undergird.j_of(t text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN t::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN NULL;
END $$;

-- Strings unquoted, null is null.
CREATE OR REPLACE FUNCTION undergird.j_text(j jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(j) WHEN 'null' THEN NULL WHEN 'string' THEN j #>> '{}' ELSE undergird.compact(j) END
$$;

CREATE OR REPLACE FUNCTION undergird.j_at(j jsonb, i bigint) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN jsonb_typeof(j) = 'array' AND i BETWEEN -2147483647 AND 2147483647 THEN j -> i::int END $$;

CREATE OR REPLACE FUNCTION undergird.j_array(j jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN jsonb_typeof(j) = 'array' THEN j ELSE '[]'::jsonb END $$;

CREATE OR REPLACE FUNCTION undergird.j_size(j jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(j) WHEN 'string' THEN length(j #>> '{}') WHEN 'array' THEN jsonb_array_length(j)
    WHEN 'object' THEN (SELECT count(*) FROM jsonb_object_keys(j)) END
$$;

CREATE OR REPLACE FUNCTION undergird.j_string(j jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN jsonb_typeof(j) = 'string' THEN j #>> '{}' END $$;

CREATE OR REPLACE FUNCTION undergird.j_number(j jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN jsonb_typeof(j) = 'number' THEN j::numeric END $$;

CREATE OR REPLACE FUNCTION undergird.j_member(j jsonb, k text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(jsonb_typeof(j) = 'object' AND jsonb_exists(j, k), FALSE) $$;

-- The scalar that JSON holds, as conversions take it: a number is an int when it is written as one, else the nearest double.
CREATE OR REPLACE FUNCTION undergird.j_int(j jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(j) WHEN 'boolean' THEN j::boolean::int::bigint WHEN 'string' THEN undergird.t_int(j #>> '{}')
    WHEN 'number' THEN coalesce(undergird.t_int(j::text), undergird.f_int(trunc(undergird.f_of(j::numeric)))) END
$$;

CREATE OR REPLACE FUNCTION undergird.j_float(j jsonb) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(j) WHEN 'string' THEN undergird.f_of(undergird.number(j #>> '{}')) WHEN 'number' THEN undergird.f_of(j::numeric) END
$$;

CREATE OR REPLACE FUNCTION undergird.j_bool(j jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(j) WHEN 'boolean' THEN j::boolean WHEN 'string' THEN undergird.bool(j #>> '{}')
    WHEN 'number' THEN undergird.t_int(j::text) <> 0 END
$$;

CREATE OR REPLACE FUNCTION undergird.j_moment(j jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof(j) WHEN 'string' THEN undergird.moment(j #>> '{}')
    WHEN 'number' THEN undergird.instant(undergird.t_int(j::text)::numeric * 1000000) END
$$;

-- Numbers, then strings, then all else by its text; JSON null with the nulls.
CREATE OR REPLACE FUNCTION undergird.j_rank(j jsonb) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(j) <> 'null' THEN CASE jsonb_typeof(j) WHEN 'number' THEN 0 WHEN 'string' THEN 1 ELSE 2 END END
$$;

-- How JSON stands to another value: -1, 0 or 1; 2 where they are apart; null where one is.
CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b jsonb) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN a = b THEN 0
    WHEN jsonb_typeof(a) <> jsonb_typeof(b) THEN 2
    ELSE CASE jsonb_typeof(a)
      WHEN 'string' THEN CASE WHEN (a #>> '{}') COLLATE "C" < (b #>> '{}') THEN -1 ELSE 1 END
      WHEN 'number' THEN CASE WHEN a::numeric < b::numeric THEN -1 ELSE 1 END
      WHEN 'boolean' THEN CASE WHEN a::boolean < b::boolean THEN -1 ELSE 1 END
      ELSE 2 END
    END
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b numeric) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(a) <> 'number' THEN 2 WHEN a::numeric = b THEN 0 WHEN a::numeric < b THEN -1 ELSE 1 END
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b boolean) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(a) <> 'boolean' THEN 2 WHEN a::boolean = b THEN 0 WHEN a::boolean < b THEN -1 ELSE 1 END
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b text) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(a) <> 'string' THEN 2 WHEN a #>> '{}' = b THEN 0 WHEN (a #>> '{}') COLLATE "C" < b THEN -1 ELSE 1 END
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b uuid) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN x IS NULL THEN 2 WHEN x = b THEN 0 WHEN x < b THEN -1 ELSE 1 END FROM (SELECT undergird.uuid(undergird.j_string(a)) AS x) AS of
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b timestamptz) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN x IS NULL THEN 2 WHEN x = b THEN 0 WHEN x < b THEN -1 ELSE 1 END FROM (SELECT undergird.moment(undergird.j_string(a)) AS x) AS of
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b date) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN x IS NULL THEN 2 WHEN x = b THEN 0 WHEN x < b THEN -1 ELSE 1 END FROM (SELECT undergird.date(undergird.j_string(a)) AS x) AS of
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b time) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN x IS NULL THEN 2 WHEN x = b THEN 0 WHEN x < b THEN -1 ELSE 1 END FROM (SELECT undergird.time(undergird.j_string(a)) AS x) AS of
$$;

CREATE OR REPLACE FUNCTION undergird.stand(a jsonb, b bytea) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN x IS NULL THEN 2 WHEN x = b THEN 0 WHEN x < b THEN -1 ELSE 1 END FROM (SELECT undergird.octets(undergird.j_string(a)) AS x) AS of
$$;
