//! The stored functions that make MySQL and MariaDB compute what our expressions mean, where no built-in does: an operand that is
//! looked at twice, an overflow that must be null and not an error, JSON and numbers compared by exact value.
//!
//! Every one is deterministic, reads no table, and never fails on data: where the answer would be beyond what SQL can compute, it
//! signals `45000` with a message that begins with [`BEYOND`], and the statement is refused. The grammar of what they read, and what
//! they give, is that of `plan::function`; the differential test holds them to it.
//!
//! Absent: recursion, which stored functions have not: [`containment`] is written out level by level.

/// How the message of a value begins that no function here can compute exactly. The driver reads the name after it as the capability
/// that is lacking.
pub const BEYOND: &str = "ug: beyond ";

/// Levels of arrays and objects within each other to which containment of JSON is decided.
const CONTAINMENT_LEVELS: usize = 8;

/// A function: name, parameters, result, body.
type Function = (&'static str, &'static str, &'static str, &'static str);

const TEXT: &str = "LONGTEXT CHARACTER SET utf8mb4 COLLATE $C";

/// The statements that install all functions, in an order in which each finds those that it calls. They replace what is there.
pub fn functions(collation: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut add = |name: &str, parameters: &str, result: &str, body: &str| {
        statements.push(format!("DROP FUNCTION IF EXISTS {name}"));
        let text = format!("CREATE FUNCTION {name}({parameters}) RETURNS {result} DETERMINISTIC NO SQL {body}");
        statements.push(text.replace("TEXT_", TEXT).replace("$C", collation));
    };
    for (name, parameters, result, body) in FUNCTIONS {
        add(name, parameters, result, body);
    }
    for level in (0..=CONTAINMENT_LEVELS).rev() {
        add(&format!("ug_covers_{level}"), "a TEXT_, b TEXT_", "BOOLEAN", &containment(level));
    }
    statements
}

/// Whether JSON contains JSON at a level, as PostgreSQL's `@>` on `jsonb` below its top; the next level is another function.
fn containment(level: usize) -> String {
    if level == CONTAINMENT_LEVELS {
        // As deep as this only what is flat is compared.
        return format!(
            "BEGIN IF LEFT(b, 1) IN ('[', '{{') AND LEFT(a, 1) = LEFT(b, 1) AND a <> b THEN \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{BEYOND}containment of JSON this deep'; END IF; \
             RETURN COALESCE(ug_s_jj(a, b) = 0, FALSE); END"
        );
    }
    let next = level + 1;
    format!(
        "BEGIN DECLARE i, j, n, m INT DEFAULT 0; DECLARE k, x, y TEXT_; DECLARE found BOOLEAN; \
         IF LEFT(b, 1) = '{{' AND LEFT(a, 1) = '{{' THEN \
           SET k = JSON_KEYS(b); SET n = JSON_LENGTH(b); \
           WHILE i < n DO \
             SET x = JSON_UNQUOTE(JSON_EXTRACT(k, CONCAT('$[', i, ']'))); \
             SET y = ug_j_key(a, x); \
             IF y IS NULL OR NOT ug_covers_{next}(y, ug_j_key(b, x)) THEN RETURN FALSE; END IF; \
             SET i = i + 1; \
           END WHILE; \
           RETURN TRUE; \
         ELSEIF LEFT(b, 1) = '[' AND LEFT(a, 1) = '[' THEN \
           SET n = JSON_LENGTH(b); SET m = JSON_LENGTH(a); \
           WHILE i < n DO \
             SET x = ug_j_at(b, i); SET found = FALSE; SET j = 0; \
             WHILE j < m AND NOT found DO SET found = ug_covers_{next}(ug_j_at(a, j), x); SET j = j + 1; END WHILE; \
             IF NOT found THEN RETURN FALSE; END IF; \
             SET i = i + 1; \
           END WHILE; \
           RETURN TRUE; \
         END IF; \
         RETURN COALESCE(ug_s_jj(a, b) = 0, FALSE); END"
    )
}

const FUNCTIONS: &[Function] = &[
    // --- Numbers ---
    // A whole number as an int, when it fits.
    (
        "ug_int",
        "x DECIMAL(65,0)",
        "BIGINT",
        "RETURN IF(x BETWEEN -9223372036854775808 AND 9223372036854775807, x, NULL)",
    ),
    // A decimal rounded half away from zero, when it has not more than p digits.
    (
        "ug_dec",
        "x DECIMAL(65,30), p INT, s INT",
        "DECIMAL(38,18)",
        "BEGIN DECLARE r DECIMAL(65,30) DEFAULT ROUND(x, s); \
      RETURN IF(ABS(r) < CAST(CONCAT('1', REPEAT('0', p - s)) AS DECIMAL(65,0)), r, NULL); END",
    ),
    // A sum of decimals of a scale, when its digits fit into an int.
    (
        "ug_sum",
        "x DECIMAL(65,18), s INT",
        "DECIMAL(65,18)",
        "RETURN IF(x * CAST(CONCAT('1', REPEAT('0', s)) AS DECIMAL(20,0)) \
        BETWEEN -9223372036854775808 AND 9223372036854775807, x, NULL)",
    ),
    (
        "ug_div",
        "a BIGINT, b BIGINT",
        "BIGINT",
        "RETURN CASE WHEN b = 0 THEN NULL WHEN b = -1 THEN ug_int(-CAST(a AS DECIMAL(20,0))) ELSE a DIV b END",
    ),
    (
        "ug_mod",
        "a BIGINT, b BIGINT",
        "BIGINT",
        "RETURN CASE WHEN b = 0 THEN NULL WHEN b = -1 THEN a - a ELSE a % b END",
    ),
    (
        "ug_f_add",
        "a DOUBLE, b DOUBLE",
        "DOUBLE",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION RETURN NULL; RETURN a + b; END",
    ),
    (
        "ug_f_subtract",
        "a DOUBLE, b DOUBLE",
        "DOUBLE",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION RETURN NULL; RETURN a - b; END",
    ),
    (
        "ug_f_multiply",
        "a DOUBLE, b DOUBLE",
        "DOUBLE",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION RETURN NULL; RETURN a * b; END",
    ),
    (
        "ug_f_divide",
        "a DOUBLE, b DOUBLE",
        "DOUBLE",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION RETURN NULL; RETURN IF(b = 0, NULL, a / b); END",
    ),
    (
        "ug_f_rest",
        "a DOUBLE, b DOUBLE",
        "DOUBLE",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION RETURN NULL; RETURN IF(b = 0, NULL, a % b); END",
    ),
    // A whole double as an int, when it fits.
    (
        "ug_f_int",
        "f DOUBLE",
        "BIGINT",
        "RETURN IF(f >= -9223372036854775808e0 AND f < 9223372036854775808e0, CAST(f AS SIGNED), NULL)",
    ),
    ("ug_f_trunc", "f DOUBLE", "BIGINT", "RETURN ug_f_int(IF(f < 0, CEILING(f), FLOOR(f)))"),
    // Rounded to the even int.
    (
        "ug_f_even",
        "f DOUBLE",
        "BIGINT",
        "BEGIN DECLARE low DOUBLE DEFAULT FLOOR(f); DECLARE i BIGINT DEFAULT ug_f_int(low); \
      IF f - low > 0.5e0 OR (f - low = 0.5e0 AND i % 2 <> 0) THEN RETURN ug_int(CAST(i AS DECIMAL(20,0)) + 1); END IF; \
      RETURN i; END",
    ),
    // The shortest digits of a double, as the wire writes them.
    (
        "ug_f_text",
        "f DOUBLE",
        "TEXT_",
        "BEGIN DECLARE t, m TEXT_; DECLARE e, k, n INT; DECLARE sign TEXT_ DEFAULT IF(f < 0, '-', ''); \
      IF f IS NULL THEN RETURN NULL; END IF; IF f = 0 THEN RETURN '0'; END IF; \
      SET t = CONCAT(ABS(f)); SET e = IF(LOCATE('e', t) > 0, CAST(SUBSTRING_INDEX(t, 'e', -1) AS SIGNED), 0); \
      SET m = SUBSTRING_INDEX(t, 'e', 1); \
      SET k = CHAR_LENGTH(SUBSTRING_INDEX(m, '.', 1)) + e; SET m = REPLACE(m, '.', ''); \
      SET n = CHAR_LENGTH(m); SET m = TRIM(LEADING '0' FROM m); SET k = k - (n - CHAR_LENGTH(m)); \
      SET m = TRIM(TRAILING '0' FROM m); SET n = CHAR_LENGTH(m); \
      RETURN CONCAT(sign, CASE \
        WHEN n <= k AND k <= 16 THEN CONCAT(m, REPEAT('0', k - n)) \
        WHEN 0 < k AND k <= 16 THEN CONCAT(LEFT(m, k), '.', SUBSTRING(m, k + 1)) \
        WHEN -5 < k AND k <= 0 THEN CONCAT('0.', REPEAT('0', -k), m) \
        WHEN n = 1 THEN CONCAT(m, 'e', k - 1) \
        ELSE CONCAT(LEFT(m, 1), '.', SUBSTRING(m, 2), 'e', k - 1) END); END",
    ),
    // A number in JSON's grammar, `+5`, `.5` and `5.` too, in plain notation; null when it is none. An exponent of more than three
    // digits makes 1e999 or 1e-999 of it, which no kind holds or tells from 0.
    (
        "ug_plain",
        "t TEXT_",
        "TEXT_",
        "BEGIN DECLARE m, w, r TEXT_; DECLARE e, p INT; DECLARE x TEXT_; \
      IF t IS NULL OR NOT t REGEXP '\\A[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?\\z' THEN RETURN NULL; END IF; \
      SET m = SUBSTRING_INDEX(REPLACE(t, 'E', 'e'), 'e', 1); \
      SET x = IF(LOCATE('e', REPLACE(t, 'E', 'e')) > 0, SUBSTRING_INDEX(REPLACE(t, 'E', 'e'), 'e', -1), '0'); \
      SET e = CAST(IF(CHAR_LENGTH(TRIM(LEADING '0' FROM REPLACE(REPLACE(x, '-', ''), '+', ''))) > 3, \
        IF(LEFT(x, 1) = '-', '-999', '999'), IF(LEFT(x, 1) = '+', SUBSTRING(x, 2), x)) AS SIGNED); \
      SET x = IF(LEFT(m, 1) = '-', '-', ''); \
      SET m = REPLACE(REPLACE(m, '-', ''), '+', ''); \
      SET w = SUBSTRING_INDEX(m, '.', 1); SET r = IF(LOCATE('.', m) > 0, SUBSTRING_INDEX(m, '.', -1), ''); \
      IF e > 0 THEN SET r = RPAD(r, GREATEST(CHAR_LENGTH(r), e), '0'); SET w = CONCAT(w, LEFT(r, e)); SET r = SUBSTRING(r, e + 1); \
      ELSEIF e < 0 THEN SET w = LPAD(w, GREATEST(CHAR_LENGTH(w), -e), '0'); SET r = CONCAT(RIGHT(w, -e), r); \
        SET w = LEFT(w, CHAR_LENGTH(w) + e); END IF; \
      SET w = TRIM(LEADING '0' FROM w); IF w = '' THEN SET w = '0'; END IF; \
      IF w = '0' AND TRIM(BOTH '0' FROM r) = '' THEN SET x = ''; END IF; \
      RETURN CONCAT(x, w, IF(r = '', '', CONCAT('.', r))); END",
    ),
    // Two numbers in plain notation by their exact value: -1, 0 or 1.
    (
        "ug_digits",
        "a TEXT_, b TEXT_",
        "TINYINT",
        "BEGIN DECLARE n, m BOOLEAN; DECLARE x, y, u, v TEXT_; DECLARE s INT; \
      IF a IS NULL OR b IS NULL THEN RETURN NULL; END IF; \
      SET n = LEFT(a, 1) = '-'; SET m = LEFT(b, 1) = '-'; \
      SET x = IF(n, SUBSTRING(a, 2), a); SET y = IF(m, SUBSTRING(b, 2), b); \
      SET u = IF(LOCATE('.', x) > 0, TRIM(TRAILING '0' FROM SUBSTRING_INDEX(x, '.', -1)), ''); \
      SET v = IF(LOCATE('.', y) > 0, TRIM(TRAILING '0' FROM SUBSTRING_INDEX(y, '.', -1)), ''); \
      SET x = TRIM(LEADING '0' FROM SUBSTRING_INDEX(x, '.', 1)); SET y = TRIM(LEADING '0' FROM SUBSTRING_INDEX(y, '.', 1)); \
      SET n = n AND NOT (x = '' AND u = ''); SET m = m AND NOT (y = '' AND v = ''); \
      IF n <> m THEN RETURN IF(n, -1, 1); END IF; \
      SET s = CASE WHEN CHAR_LENGTH(x) <> CHAR_LENGTH(y) THEN IF(CHAR_LENGTH(x) < CHAR_LENGTH(y), -1, 1) \
        WHEN x <> y THEN IF(x < y, -1, 1) WHEN u <> v THEN IF(u < v, -1, 1) ELSE 0 END; \
      RETURN IF(n, -s, s); END",
    ),
    // The double of text in plain notation or with an exponent; null where none is near.
    (
        "ug_f_of",
        "t TEXT_",
        "DOUBLE",
        "BEGIN DECLARE p TEXT_ DEFAULT ug_plain(t); DECLARE f DOUBLE; DECLARE n INT; \
      IF p IS NULL THEN RETURN NULL; END IF; \
      SET n = CHAR_LENGTH(TRIM(LEADING '0' FROM SUBSTRING_INDEX(REPLACE(p, '-', ''), '.', 1))); \
      IF n > 309 THEN RETURN NULL; END IF; \
      IF n = 309 AND ug_digits(REPLACE(p, '-', ''), CONCAT('179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880')) >= 0 \
        THEN RETURN NULL; END IF; \
      SET f = CAST(t AS DOUBLE); RETURN IF(f = 0, 0e0, f); END",
    ),
    // The exact digits of a double, where SQL can compute them.
    (
        "ug_f_digits",
        "f DOUBLE",
        "TEXT_",
        "BEGIN DECLARE k INT; DECLARE d DECIMAL(65,0); DECLARE t TEXT_; DECLARE g DOUBLE DEFAULT ABS(f); \
      IF f IS NULL THEN RETURN NULL; END IF; IF f = 0 THEN RETURN '0'; END IF; \
      IF g >= 9223372036854775808e0 THEN \
        SET k = FLOOR(LOG2(g)) - 60; SET d = CAST(g / POW(2e0, k) AS SIGNED); \
        IF k > 150 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond comparison of very large floats'; END IF; \
        WHILE k > 0 DO SET d = d * 2; SET k = k - 1; END WHILE; \
        RETURN CONCAT(IF(f < 0, '-', ''), d); END IF; \
      IF g = FLOOR(g) THEN RETURN CONCAT(IF(f < 0, '-', ''), CAST(g AS SIGNED)); END IF; \
      SET k = 52 - FLOOR(LOG2(g)); \
      IF k > 1000 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond comparison of very small floats'; END IF; \
      SET d = CAST(g * POW(2e0, k) AS SIGNED); \
      WHILE d % 2 = 0 DO SET d = d DIV 2; SET k = k - 1; END WHILE; \
      IF k > 69 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond comparison of very small floats'; END IF; \
      SET t = ''; \
      BEGIN DECLARE i INT DEFAULT k; WHILE i > 0 DO SET d = d * 5; SET i = i - 1; END WHILE; END; \
      SET t = LPAD(d, GREATEST(k + 1, CHAR_LENGTH(CAST(d AS CHAR))), '0'); \
      RETURN CONCAT(IF(f < 0, '-', ''), LEFT(t, CHAR_LENGTH(t) - k), '.', RIGHT(t, k)); END",
    ),
    // --- Two values: -1, 0 or 1; 2 where they are apart; 3 where both are null; null where one is ---
    // A double and the plain notation of another number.
    (
        "ug_s_fp",
        "f DOUBLE, p TEXT_",
        "TINYINT",
        "BEGIN DECLARE g DOUBLE; IF f IS NULL OR p IS NULL THEN RETURN IF(f IS NULL AND p IS NULL, 3, NULL); END IF; \
      SET g = ug_f_of(p); IF g IS NULL THEN RETURN IF(LEFT(p, 1) = '-', 1, -1); END IF; \
      IF f <> g THEN RETURN IF(f < g, -1, 1); END IF; \
      RETURN ug_digits(ug_f_digits(f), p); END",
    ),
    ("ug_s_fn", "f DOUBLE, n DECIMAL(38,18)", "TINYINT", "RETURN ug_s_fp(f, CAST(n AS CHAR))"),
    (
        "ug_s_jj",
        "a TEXT_, b TEXT_",
        "TINYINT",
        "BEGIN DECLARE x, y TEXT_; \
      IF a IS NULL OR b IS NULL THEN RETURN IF(a IS NULL AND b IS NULL, 3, NULL); END IF; \
      IF a = b THEN RETURN 0; END IF; \
      SET x = LEFT(a, 1); SET y = LEFT(b, 1); \
      IF x = '\"' AND y = '\"' THEN RETURN IF(CAST(JSON_UNQUOTE(a) AS BINARY) < CAST(JSON_UNQUOTE(b) AS BINARY), -1, 1); END IF; \
      IF x = 't' AND y = 'f' THEN RETURN 1; END IF; IF x = 'f' AND y = 't' THEN RETURN -1; END IF; \
      IF x REGEXP '[-0-9]' AND y REGEXP '[-0-9]' THEN RETURN ug_digits(a, b); END IF; \
      IF x = y AND x IN ('[', '{') THEN RETURN IF(ug_j_normal(a) = ug_j_normal(b), 0, 2); END IF; \
      RETURN 2; END",
    ),
    (
        "ug_s_jn",
        "j TEXT_, n DECIMAL(38,18)",
        "TINYINT",
        "RETURN CASE WHEN j IS NULL OR n IS NULL THEN IF(j IS NULL AND n IS NULL, 3, NULL) \
      WHEN j REGEXP '\\A[-0-9]' THEN ug_digits(j, CAST(n AS CHAR)) ELSE 2 END",
    ),
    (
        "ug_s_jf",
        "j TEXT_, f DOUBLE",
        "TINYINT",
        "RETURN CASE WHEN j IS NULL OR f IS NULL THEN IF(j IS NULL AND f IS NULL, 3, NULL) \
      WHEN j REGEXP '\\A[-0-9]' THEN -ug_s_fp(f, j) ELSE 2 END",
    ),
    (
        "ug_s_jb",
        "j TEXT_, b BOOLEAN",
        "TINYINT",
        "RETURN CASE WHEN j IS NULL OR b IS NULL THEN IF(j IS NULL AND b IS NULL, 3, NULL) \
      WHEN j IN ('true', 'false') THEN (j = 'true') - (b <> 0) ELSE 2 END",
    ),
    (
        "ug_s_jt",
        "j TEXT_, t TEXT_",
        "TINYINT",
        "BEGIN DECLARE x TEXT_; \
      IF j IS NULL OR t IS NULL THEN RETURN IF(j IS NULL AND t IS NULL, 3, NULL); END IF; \
      IF LEFT(j, 1) <> '\"' THEN RETURN 2; END IF; \
      SET x = JSON_UNQUOTE(j); RETURN IF(x = t, 0, IF(x < t, -1, 1)); END",
    ),
    (
        "ug_s_ju",
        "j TEXT_, u BINARY(16)",
        "TINYINT",
        "BEGIN DECLARE x BINARY(16); \
      IF j IS NULL OR u IS NULL THEN RETURN IF(j IS NULL AND u IS NULL, 3, NULL); END IF; \
      IF LEFT(j, 1) <> '\"' THEN RETURN 2; END IF; SET x = ug_uuid(JSON_UNQUOTE(j)); \
      RETURN CASE WHEN x IS NULL THEN 2 WHEN x = u THEN 0 WHEN x < u THEN -1 ELSE 1 END; END",
    ),
    (
        "ug_s_jm",
        "j TEXT_, m DATETIME(6)",
        "TINYINT",
        "BEGIN DECLARE x DATETIME(6); \
      IF j IS NULL OR m IS NULL THEN RETURN IF(j IS NULL AND m IS NULL, 3, NULL); END IF; \
      IF LEFT(j, 1) <> '\"' THEN RETURN 2; END IF; SET x = ug_moment(JSON_UNQUOTE(j)); \
      RETURN CASE WHEN x IS NULL THEN 2 WHEN x = m THEN 0 WHEN x < m THEN -1 ELSE 1 END; END",
    ),
    (
        "ug_s_jd",
        "j TEXT_, d DATE",
        "TINYINT",
        "BEGIN DECLARE x DATE; \
      IF j IS NULL OR d IS NULL THEN RETURN IF(j IS NULL AND d IS NULL, 3, NULL); END IF; \
      IF LEFT(j, 1) <> '\"' THEN RETURN 2; END IF; SET x = ug_date(JSON_UNQUOTE(j)); \
      RETURN CASE WHEN x IS NULL THEN 2 WHEN x = d THEN 0 WHEN x < d THEN -1 ELSE 1 END; END",
    ),
    (
        "ug_s_jc",
        "j TEXT_, c TIME(6)",
        "TINYINT",
        "BEGIN DECLARE x TIME(6); \
      IF j IS NULL OR c IS NULL THEN RETURN IF(j IS NULL AND c IS NULL, 3, NULL); END IF; \
      IF LEFT(j, 1) <> '\"' THEN RETURN 2; END IF; SET x = ug_time(JSON_UNQUOTE(j)); \
      RETURN CASE WHEN x IS NULL THEN 2 WHEN x = c THEN 0 WHEN x < c THEN -1 ELSE 1 END; END",
    ),
    (
        "ug_s_jo",
        "j TEXT_, o LONGBLOB",
        "TINYINT",
        "BEGIN DECLARE x LONGBLOB; \
      IF j IS NULL OR o IS NULL THEN RETURN IF(j IS NULL AND o IS NULL, 3, NULL); END IF; \
      IF LEFT(j, 1) <> '\"' THEN RETURN 2; END IF; SET x = ug_octets(JSON_UNQUOTE(j)); \
      RETURN CASE WHEN x IS NULL THEN 2 WHEN x = o THEN 0 WHEN x < o THEN -1 ELSE 1 END; END",
    ),
    // --- Text read as a value: null when it is none ---
    (
        "ug_t_int",
        "t TEXT_",
        "BIGINT",
        "RETURN CASE WHEN t REGEXP '\\A[+-]?[0-9]+\\z' THEN \
        CASE WHEN CHAR_LENGTH(TRIM(LEADING '0' FROM REPLACE(REPLACE(t, '+', ''), '-', ''))) > 19 THEN NULL \
        ELSE ug_int(CAST(t AS DECIMAL(65,0))) END END",
    ),
    // As field values are read: `1.0` and `1e3` are whole numbers too.
    (
        "ug_int_of",
        "t TEXT_",
        "BIGINT",
        "BEGIN DECLARE p TEXT_ DEFAULT ug_plain(t); \
      IF p IS NULL OR TRIM(TRAILING '0' FROM SUBSTRING(p, LOCATE('.', CONCAT(p, '.')) + 1)) <> '' THEN RETURN NULL; END IF; \
      RETURN ug_t_int(SUBSTRING_INDEX(p, '.', 1)); END",
    ),
    // Plain notation, rounded half away from zero to a scale, when it fits into so many digits.
    (
        "ug_dec_of",
        "p TEXT_, q INT, s INT",
        "DECIMAL(38,18)",
        "BEGIN DECLARE w, r TEXT_; \
      IF p IS NULL THEN RETURN NULL; END IF; \
      SET w = SUBSTRING_INDEX(p, '.', 1); SET r = IF(LOCATE('.', p) > 0, LEFT(SUBSTRING_INDEX(p, '.', -1), 29), '0'); \
      IF CHAR_LENGTH(w) > 24 THEN RETURN NULL; END IF; \
      RETURN ug_dec(CAST(CONCAT(w, '.', r) AS DECIMAL(65,30)), q, s); END",
    ),
    (
        "ug_uuid",
        "t TEXT_",
        "BINARY(16)",
        "RETURN IF(t REGEXP '\\A([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\\z', UNHEX(REPLACE(t, '-', '')), NULL)",
    ),
    (
        "ug_date",
        "t TEXT_",
        "DATE",
        "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION RETURN NULL; \
      IF t IS NULL OR NOT t REGEXP '\\A[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\\z' OR LEFT(t, 4) = '0000' \
        OR (RIGHT(t, 2) = '31' AND SUBSTRING(t, 6, 2) IN ('02', '04', '06', '09', '11')) \
        OR (RIGHT(t, 5) = '02-30') \
        OR (RIGHT(t, 5) = '02-29' AND NOT (LEFT(t, 4) % 4 = 0 AND (LEFT(t, 4) % 100 <> 0 OR LEFT(t, 4) % 400 = 0))) \
      THEN RETURN NULL; END IF; \
      RETURN CAST(t AS DATE); END",
    ),
    // Microseconds of a time of day `HH:MM[:SS[.f…]]`, the next midnight perhaps; null when it is none.
    (
        "ug_clock",
        "t TEXT_",
        "BIGINT",
        "BEGIN DECLARE n BIGINT DEFAULT 0; \
      IF t IS NULL OR NOT t REGEXP '\\A([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?\\z' THEN RETURN NULL; END IF; \
      IF LOCATE('.', t) > 0 THEN SET n = (CAST(RPAD(SUBSTRING_INDEX(t, '.', -1), 9, '0') AS SIGNED) + 500) DIV 1000; END IF; \
      RETURN (CAST(LEFT(t, 2) AS SIGNED) * 60 + CAST(SUBSTRING(t, 4, 2) AS SIGNED)) * 60000000 \
        + IF(CHAR_LENGTH(t) > 5, CAST(SUBSTRING(t, 7, 2) AS SIGNED), 0) * 1000000 + n; END",
    ),
    (
        "ug_time",
        "t TEXT_",
        "TIME(6)",
        "BEGIN DECLARE n BIGINT DEFAULT ug_clock(t); \
      RETURN IF(n < 86400000000, TIME'00:00:00' + INTERVAL n MICROSECOND, NULL); END",
    ),
    // Microseconds since 1970, as an instant of the years 1 to 9999.
    (
        "ug_instant",
        "m DECIMAL(65,0)",
        "DATETIME(6)",
        "RETURN IF(m BETWEEN -62135596800000000 AND 253402300799999999, \
      TIMESTAMP'1970-01-01 00:00:00.000000' + INTERVAL CAST(m AS SIGNED) MICROSECOND, NULL)",
    ),
    (
        "ug_moment",
        "t TEXT_",
        "DATETIME(6)",
        "BEGIN DECLARE d DATE DEFAULT ug_date(LEFT(t, 10)); DECLARE r, o TEXT_; DECLARE m, c BIGINT DEFAULT 0; DECLARE at INT; \
      IF d IS NULL THEN RETURN NULL; END IF; \
      SET m = TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', CAST(d AS DATETIME)); \
      IF CHAR_LENGTH(t) > 10 THEN \
        IF NOT t REGEXP '\\A.{10}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?\\z' THEN RETURN NULL; END IF; \
        SET r = SUBSTRING(t, 12); \
        SET o = REGEXP_SUBSTR(r, '([Zz]|[+-].*)\\z'); \
        SET r = LEFT(r, CHAR_LENGTH(r) - CHAR_LENGTH(o)); \
        SET c = ug_clock(r); IF c IS NULL THEN RETURN NULL; END IF; SET m = m + c; \
        IF CHAR_LENGTH(o) > 1 THEN \
          SET c = CAST(SUBSTRING(o, 2, 2) AS SIGNED); SET at = CAST(CONCAT('0', SUBSTRING(REPLACE(o, ':', ''), 4)) AS SIGNED); \
          IF c > 23 OR at > 59 THEN RETURN NULL; END IF; \
          SET c = (c * 60 + at) * 60000000; SET m = IF(LEFT(o, 1) = '-', m + c, m - c); \
        END IF; \
      END IF; \
      RETURN ug_instant(m); END",
    ),
    // Base64 with padding or without, or PostgreSQL's `\x` and hexadecimal digits.
    (
        "ug_octets",
        "t TEXT_",
        "LONGBLOB",
        "BEGIN \
      IF t IS NULL THEN RETURN NULL; END IF; \
      IF LEFT(t, 2) = '\\x' THEN RETURN IF(t REGEXP '\\A.{2}([0-9a-fA-F]{2})*\\z', UNHEX(SUBSTRING(t, 3)), NULL); END IF; \
      IF NOT t REGEXP '\\A([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?\\z' THEN RETURN NULL; END IF; \
      SET t = TRIM(TRAILING '=' FROM t); \
      RETURN FROM_BASE64(CONCAT(t, REPEAT('=', (4 - CHAR_LENGTH(t) % 4) % 4))); END",
    ),
    (
        "ug_bool",
        "t TEXT_",
        "BOOLEAN",
        "RETURN CASE WHEN t IN ('1', 't', 'T', 'TRUE', 'true', 'True') THEN TRUE \
      WHEN t IN ('0', 'f', 'F', 'FALSE', 'false', 'False') THEN FALSE END",
    ),
    // The words that PostgreSQL takes.
    (
        "ug_bool_word",
        "t TEXT_",
        "BOOLEAN",
        "RETURN CASE WHEN t REGEXP '\\A[a-zA-Z]{1,5}\\z' THEN CASE WHEN LOWER(t) IN ('true', 't', 'yes', 'y', 'on') THEN TRUE \
      WHEN LOWER(t) IN ('false', 'f', 'no', 'n', 'off') THEN FALSE END \
      WHEN t = '1' THEN TRUE WHEN t = '0' THEN FALSE END",
    ),
    // --- Text of values ---
    (
        "ug_u_text",
        "u BINARY(16)",
        "TEXT_",
        "BEGIN DECLARE h TEXT_ DEFAULT LOWER(HEX(u)); \
      RETURN CONCAT(LEFT(h, 8), '-', SUBSTRING(h, 9, 4), '-', SUBSTRING(h, 13, 4), '-', SUBSTRING(h, 17, 4), '-', RIGHT(h, 12)); END",
    ),
    (
        "ug_span_text",
        "d BIGINT",
        "TEXT_",
        "BEGIN DECLARE a DECIMAL(20,0) DEFAULT ABS(CAST(d AS DECIMAL(20,0))); DECLARE r TEXT_; \
      SET r = TRIM(TRAILING '0' FROM LPAD(a % 1000000, 6, '0')); \
      RETURN CONCAT(IF(d < 0, '-', ''), a DIV 1000000, IF(r = '', '', CONCAT('.', r)), 's'); END",
    ),
    // A JSON string.
    (
        "ug_quote",
        "t TEXT_",
        "TEXT_",
        "BEGIN DECLARE i INT DEFAULT 1; \
      IF t IS NULL OR NOT t REGEXP '[\\x01-\\x1f\"\\\\]' THEN RETURN CONCAT('\"', t, '\"'); END IF; \
      SET t = REPLACE(REPLACE(t, '\\', '\\\\'), '\"', '\\\"'); \
      WHILE i < 32 DO \
        SET t = REPLACE(t, CONVERT(CHAR(i) USING utf8mb4), CASE i WHEN 8 THEN '\\b' WHEN 9 THEN '\\t' WHEN 10 THEN '\\n' WHEN 12 THEN '\\f' \
          WHEN 13 THEN '\\r' ELSE CONCAT('\\u00', LOWER(LPAD(HEX(i), 2, '0'))) END); \
        SET i = i + 1; END WHILE; \
      RETURN CONCAT('\"', t, '\"'); END",
    ),
    // --- LIKE ---
    // The pattern itself; null when it ends in the middle of an escape, or is too long.
    (
        "ug_pattern",
        "p TEXT_",
        "TEXT_",
        "RETURN IF(CHAR_LENGTH(p) > 4000 OR CHAR_LENGTH(REGEXP_REPLACE(p, '\\\\(?s:.)', 'x')) > 2000 \
        OR p REGEXP '\\A(?s:[^\\\\]|\\\\.)*\\\\\\z', NULL, p)",
    ),
    // A translated regular expression. The engine goes back and forth, within a limit; what it gives up on is refused.
    (
        "ug_matches",
        "t TEXT_, p TEXT_",
        "BOOLEAN",
        "BEGIN DECLARE r BOOLEAN; \
      DECLARE EXIT HANDLER FOR SQLWARNING, SQLEXCEPTION \
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond regular expressions this heavy'; \
      SET r = t REGEXP p; RETURN r; END",
    ),
    // --- JSON, in its canonical form ---
    // A member of an object. A hyphen at the beginning of a name in a path is an error in MariaDB, in quotes too.
    (
        "ug_j_key",
        "j TEXT_, k TEXT_",
        "TEXT_",
        "BEGIN IF j IS NULL OR k IS NULL OR LEFT(j, 1) <> '{' THEN RETURN NULL; END IF; \
      IF NOT JSON_VALID(j) THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond JSON this deep'; END IF; \
      RETURN JSON_COMPACT(JSON_EXTRACT(j, CONCAT('$.', REPLACE(ug_quote(k), '-', '\\u002d')))); END",
    ),
    // An element of an array, from the end when negative.
    (
        "ug_j_at",
        "j TEXT_, i BIGINT",
        "TEXT_",
        "BEGIN DECLARE n BIGINT; \
      IF j IS NULL OR i IS NULL OR LEFT(j, 1) <> '[' THEN RETURN NULL; END IF; \
      IF NOT JSON_VALID(j) THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond JSON this deep'; END IF; \
      SET n = JSON_LENGTH(j); \
      IF i >= n OR i < -n THEN RETURN NULL; END IF; \
      RETURN JSON_COMPACT(JSON_EXTRACT(j, CONCAT('$[', IF(i < 0, i + n, i), ']'))); END",
    ),
    (
        "ug_j_text",
        "j TEXT_",
        "TEXT_",
        "RETURN CASE WHEN j = 'null' THEN NULL WHEN LEFT(j, 1) = '\"' THEN JSON_UNQUOTE(j) ELSE j END",
    ),
    // An array as it is; anything else as an empty one.
    (
        "ug_j_array",
        "j TEXT_",
        "TEXT_",
        "BEGIN IF COALESCE(LEFT(j, 1) <> '[', TRUE) THEN RETURN '[]'; END IF; \
      IF NOT JSON_VALID(j) THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond JSON this deep'; END IF; RETURN j; END",
    ),
    (
        "ug_j_size",
        "j TEXT_",
        "BIGINT",
        "BEGIN IF LEFT(j, 1) IN ('[', '{') AND NOT JSON_VALID(j) THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond JSON this deep'; END IF; \
      RETURN CASE LEFT(j, 1) WHEN '\"' THEN CHAR_LENGTH(JSON_UNQUOTE(j)) WHEN '[' THEN JSON_LENGTH(j) WHEN '{' THEN JSON_LENGTH(j) END; END",
    ),
    (
        "ug_j_normal",
        "j TEXT_",
        "TEXT_",
        "BEGIN IF NOT JSON_VALID(j) THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond JSON this deep'; END IF; \
      RETURN JSON_NORMALIZE(j); END",
    ),
    // The scalar that JSON holds, as conversions take it.
    (
        "ug_j_int",
        "j TEXT_",
        "BIGINT",
        "RETURN CASE WHEN j = 'true' THEN 1 WHEN j = 'false' THEN 0 WHEN LEFT(j, 1) = '\"' THEN ug_t_int(JSON_UNQUOTE(j)) \
      WHEN j REGEXP '\\A-?[0-9]+\\z' AND ug_t_int(j) IS NOT NULL THEN ug_t_int(j) \
      WHEN j REGEXP '\\A[-0-9]' THEN ug_f_trunc(ug_f_of(j)) END",
    ),
    (
        "ug_j_float",
        "j TEXT_",
        "DOUBLE",
        "RETURN CASE WHEN LEFT(j, 1) = '\"' THEN ug_f_of(JSON_UNQUOTE(j)) WHEN j REGEXP '\\A[-0-9]' THEN ug_f_of(j) END",
    ),
    ("ug_j_string", "j TEXT_", "TEXT_", "RETURN IF(LEFT(j, 1) = '\"', JSON_UNQUOTE(j), NULL)"),
    ("ug_j_number", "j TEXT_", "TEXT_", "RETURN IF(j REGEXP '\\A[-0-9]', j, NULL)"),
    (
        "ug_j_bool",
        "j TEXT_",
        "BOOLEAN",
        "RETURN CASE WHEN j = 'true' THEN TRUE WHEN j = 'false' THEN FALSE WHEN LEFT(j, 1) = '\"' THEN ug_bool(JSON_UNQUOTE(j)) \
      WHEN j REGEXP '\\A-?[0-9]+\\z' AND ug_t_int(j) IS NOT NULL THEN ug_t_int(j) <> 0 END",
    ),
    (
        "ug_j_moment",
        "j TEXT_",
        "DATETIME(6)",
        "RETURN CASE WHEN LEFT(j, 1) = '\"' THEN ug_moment(JSON_UNQUOTE(j)) \
      WHEN j REGEXP '\\A-?[0-9]+\\z' THEN ug_instant(CAST(ug_t_int(j) AS DECIMAL(20,0)) * 1000000) END",
    ),
    // Numbers, then strings, then all else by its text; JSON null with the nulls.
    (
        "ug_j_rank",
        "j TEXT_",
        "TINYINT",
        "RETURN CASE WHEN j = 'null' THEN NULL WHEN j REGEXP '\\A[-0-9]' THEN 0 WHEN LEFT(j, 1) = '\"' THEN 1 WHEN j IS NOT NULL THEN 2 END",
    ),
    ("ug_j_key_in", "j TEXT_, k TEXT_", "BOOLEAN", "RETURN ug_j_key(j, k) IS NOT NULL"),
    (
        "ug_j_covers",
        "a TEXT_, b TEXT_",
        "BOOLEAN",
        "BEGIN DECLARE i, n INT DEFAULT 0; \
      IF a IS NULL OR b IS NULL THEN RETURN NULL; END IF; \
      IF LEFT(a, 1) = '[' AND LEFT(b, 1) NOT IN ('[', '{') THEN \
        SET n = JSON_LENGTH(ug_j_array(a)); \
        WHILE i < n DO IF COALESCE(ug_s_jj(ug_j_at(a, i), b) = 0, FALSE) THEN RETURN TRUE; END IF; SET i = i + 1; END WHILE; \
        RETURN FALSE; END IF; \
      RETURN ug_covers_0(a, b); END",
    ),
    // JSON in its canonical form. First every string, number and word becomes one of `v`, and the text `s` a skeleton like
    // `{#0:[#1,#2]}`; then the innermost array or object becomes one of `v`, until a single one is left.
    (
        "ug_t_json",
        "t TEXT_",
        "TEXT_",
        "BEGIN DECLARE s, x, c TEXT_ DEFAULT ''; DECLARE r TEXT_ DEFAULT t; DECLARE v TEXT_ DEFAULT '[\"\"'; \
      DECLARE n, depth INT DEFAULT 0; DECLARE total, added INT DEFAULT 0; \
      IF t IS NULL THEN RETURN NULL; END IF; \
      IF CHAR_LENGTH(t) > 20000 THEN \
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ug: beyond JSON of this length read from text'; END IF; \
      IF NOT COALESCE(t REGEXP '(?(DEFINE)\
(?<s>\"(?:[^\"\\\\\\x00-\\x1f]|\\\\[\"\\\\/bfnrt]|\\\\u(?:(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4}\
|[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}))*+\")\
(?<n>-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\
(?<w>[\\x09\\x0a\\x0d\\x20]*+)\
(?<m>(?&w)(?&s)(?&w):(?&v))\
(?<v>(?&w)(?:(?&s)|(?&n)|true|false|null|\\[(?:(?&v)(?:,(?&v))*+|(?&w))\\]|\\{(?:(?&m)(?:,(?&m))*+|(?&w))\\})(?&w))\
)\\A(?&v)\\z', FALSE) THEN RETURN NULL; END IF; \
      WHILE r <> '' DO \
        SET c = LEFT(r, 1); \
        IF c REGEXP '[\\x09\\x0a\\x0d\\x20]' THEN SET r = SUBSTRING(r, 2); \
        ELSEIF c IN ('[', ']', '{', '}', ',', ':') THEN \
          SET s = CONCAT(s, c); SET r = SUBSTRING(r, 2); \
          SET depth = depth + (c IN ('[', '{')) - (c IN (']', '}')); \
          IF depth > 127 THEN RETURN NULL; END IF; \
        ELSE \
          SET x = IF(c = '\"', REGEXP_SUBSTR(r, '\\A\"(?:[^\"\\\\]|\\\\.)*+\"'), REGEXP_SUBSTR(r, '\\A[-+.0-9a-zA-Z]+')); \
          SET r = SUBSTRING(r, CHAR_LENGTH(x) + 1); \
          IF c = '\"' THEN SET x = ug_quote(JSON_UNQUOTE(x)); \
          ELSEIF c REGEXP '[-0-9]' THEN \
            SET c = REGEXP_REPLACE(SUBSTRING_INDEX(REPLACE(x, 'E', 'e'), 'e', 1), '[^0-9]', ''); \
            IF x REGEXP '[eE][+-]?0*[1-9][0-9]{3}' THEN \
              IF c REGEXP '[1-9]' OR x REGEXP '[eE]-' THEN RETURN NULL; END IF; SET x = '0'; \
            ELSE SET x = ug_plain(x); END IF; \
            SET total = CHAR_LENGTH(REGEXP_REPLACE(REGEXP_REPLACE(x, '\\A-?0(?![0-9])', ''), '[^0-9]', '')); \
            SET added = added + GREATEST(total - GREATEST(CHAR_LENGTH(c), 40), 0); \
            IF total > 1000 OR added > 10000 THEN RETURN NULL; END IF; \
          END IF; \
          SET n = n + 1; SET v = CONCAT(v, ',', ug_quote(x)); SET s = CONCAT(s, '#', n); \
        END IF; \
      END WHILE; \
      WHILE s REGEXP '[\\[{]' DO \
        SET r = REGEXP_SUBSTR(s, '[\\[{][^\\[\\]{}]*[\\]}]'); \
        IF r IN ('[]', '{}') THEN SET x = r; \
        ELSEIF LEFT(r, 1) = '[' THEN \
          SET x = (SELECT CONCAT('[', GROUP_CONCAT(JSON_UNQUOTE(JSON_EXTRACT(CONCAT(v, ']'), CONCAT('$[', k.i, ']'))) COLLATE $C \
            ORDER BY k.n SEPARATOR ','), ']') \
            FROM JSON_TABLE(REPLACE(r, '#', ''), '$[*]' COLUMNS(n FOR ORDINALITY, i INT PATH '$')) AS k); \
        ELSE \
          SET r = CONCAT('[[', REPLACE(REPLACE(REPLACE(SUBSTRING(r, 2, CHAR_LENGTH(r) - 2), ',', '],['), ':', ','), '#', ''), ']]'); \
          SET x = (SELECT CONCAT('{', GROUP_CONCAT(CONCAT(ug_quote(l.k), ':', l.x) \
            ORDER BY LENGTH(l.k), CAST(l.k AS BINARY) SEPARATOR ','), '}') FROM ( \
            SELECT JSON_UNQUOTE(JSON_UNQUOTE(JSON_EXTRACT(CONCAT(v, ']'), CONCAT('$[', j.k, ']')))) COLLATE $C AS k, \
              JSON_UNQUOTE(JSON_EXTRACT(CONCAT(v, ']'), CONCAT('$[', j.i, ']'))) COLLATE $C AS x, \
              row_number() OVER (PARTITION BY CAST(JSON_UNQUOTE(JSON_UNQUOTE(JSON_EXTRACT(CONCAT(v, ']'), CONCAT('$[', j.k, ']')))) AS BINARY) \
                ORDER BY j.n DESC) AS o \
            FROM JSON_TABLE(r, '$[*]' COLUMNS(n FOR ORDINALITY, k INT PATH '$[0]', i INT PATH '$[1]')) AS j) AS l WHERE l.o = 1); \
          SET r = REGEXP_SUBSTR(s, '[\\[{][^\\[\\]{}]*[\\]}]'); \
        END IF; \
        SET n = n + 1; SET v = CONCAT(v, ',', ug_quote(x)); \
        SET s = INSERT(s, LOCATE(r, s), CHAR_LENGTH(r), CONCAT('#', n)); \
      END WHILE; \
      RETURN JSON_UNQUOTE(JSON_EXTRACT(CONCAT(v, ']'), CONCAT('$[', n, ']'))); END",
    ),
    // --- Lists, as compact JSON in wire form: equal elements have equal text. (A variable is compared, and not what JSON_EXTRACT
    // gives, which MariaDB would unquote.) ---
    (
        "ug_l_covers",
        "a TEXT_, b TEXT_",
        "BOOLEAN",
        "BEGIN DECLARE i, j, n, m INT DEFAULT 0; DECLARE x, y TEXT_; DECLARE found BOOLEAN; \
      IF a IS NULL OR b IS NULL THEN RETURN NULL; END IF; \
      SET n = JSON_LENGTH(b); SET m = JSON_LENGTH(a); \
      WHILE i < n DO SET x = JSON_EXTRACT(b, CONCAT('$[', i, ']')); SET found = FALSE; SET j = 0; \
        WHILE j < m AND NOT found DO SET y = JSON_EXTRACT(a, CONCAT('$[', j, ']')); SET found = x = y; SET j = j + 1; END WHILE; \
        IF NOT found THEN RETURN FALSE; END IF; SET i = i + 1; END WHILE; \
      RETURN TRUE; END",
    ),
    (
        "ug_l_overlaps",
        "a TEXT_, b TEXT_",
        "BOOLEAN",
        "BEGIN DECLARE i, j, n, m INT DEFAULT 0; DECLARE x, y TEXT_; \
      IF a IS NULL OR b IS NULL THEN RETURN NULL; END IF; \
      SET n = JSON_LENGTH(b); SET m = JSON_LENGTH(a); \
      WHILE i < n DO SET x = JSON_EXTRACT(b, CONCAT('$[', i, ']')); SET j = 0; \
        WHILE j < m DO SET y = JSON_EXTRACT(a, CONCAT('$[', j, ']')); IF x = y THEN RETURN TRUE; END IF; SET j = j + 1; END WHILE; \
        SET i = i + 1; END WHILE; \
      RETURN FALSE; END",
    ),
    // An element as text, strings unquoted.
    (
        "ug_l_item",
        "l TEXT_, i BIGINT",
        "TEXT_",
        "RETURN IF(i >= 0 AND i < JSON_LENGTH(l), JSON_UNQUOTE(JSON_EXTRACT(l, CONCAT('$[', i, ']'))), NULL)",
    ),
];
