//! Text → problems.

use super::{blog, check, scope};
use crate::cel::{Expect, Scope};

#[test]
fn syntax() {
    let model = blog();
    check(
        &scope(&model, Expect::Bool),
        &[
            ("", r#"unexpected-token at "": expected a value, found the end"#),
            ("   ", r#"unexpected-token at "": expected a value, found the end"#),
            ("hidden = true", r#"unexpected-character at "=": '=' has no meaning here; equality is `==`"#),
            (
                "hidden and hidden",
                r#"unexpected-token at "and": expected an operator or the end, found `and`; "and" is `&&`"#,
            ),
            (
                "hidden & hidden | hidden",
                r#"unexpected-character at "&": '&' has no meaning here; "and" is `&&`
unexpected-character at "|": '|' has no meaning here; "or" is `||`"#,
            ),
            (
                "not hidden",
                r#"unexpected-token at "hidden": expected an operator or the end, found `hidden`; "not" is `!`"#,
            ),
            (
                "title is null",
                r#"unexpected-token at "is": expected an operator or the end, found `is`; "is null" is `== null`"#,
            ),
            ("title <> 'a'", r#"unexpected-token at ">": expected a value, found `>`; inequality is `!=`"#),
            (
                "title == “a”",
                r#"unexpected-character at "“": '“' has no meaning here; text stands in plain quotes: 'text' or "text"
unexpected-character at "”": '”' has no meaning here; text stands in plain quotes: 'text' or "text""#,
            ),
            ("title == 'a", r#"unterminated-text at "'a": this text is never closed; expected '"#),
            ("(hidden", r#"unexpected-token at "": expected `)`, found the end; it closes what opens at byte 0"#),
            ("hidden)", r#"unexpected-token at ")": expected an operator or the end, found `)`"#),
            ("size(title", r#"unexpected-token at "": expected `)`, found the end; it closes what opens at byte 4"#),
            ("views > ", r#"unexpected-token at "": expected a value, found the end"#),
            (
                "views > 1u && views > 0x1U",
                r#"uint-unsupported at "1u": rules have no unsigned numbers; write 1
uint-unsupported at "0x1U": rules have no unsigned numbers; write 0x1"#,
            ),
            ("views > 12abc", r#"bad-number at "12abc": `12abc` is not a number"#),
            (
                "views > 9223372036854775808",
                r#"bad-number at "9223372036854775808": 9223372036854775808 does not fit into 64 bits"#,
            ),
            (
                "views > 99999999999999999999",
                r#"bad-number at "99999999999999999999": `99999999999999999999` is out of range"#,
            ),
            ("rating > 1e999", r#"bad-number at "1e999": `1e999` is out of range"#),
            ("views > 0x", r#"bad-number at "0x": `0x` is out of range"#),
            (
                r"title == 'a\d'",
                r#"bad-escape at "\\d": `\d` is not an escape sequence; a backslash is `\\`, or write a raw text: r'…'"#,
            ),
            (r"title == '\u12'", r#"bad-escape at "\\u12": this escape sequence needs 4 digits"#),
            (r"title == '\ud800'", r#"bad-escape at "\\ud800": U+D800 is not a character"#),
            (r"title == '\x00'", r#"bad-escape at "\\x00": text cannot hold the character U+0000"#),
            (
                r"data == b'\u0041'",
                r#"bad-escape at "\\u0041": bytes have no unicode escapes; write its octets as `\x..`"#,
            ),
            (
                "!-hidden",
                r#"unexpected-token at "-": `!` and `-` cannot follow each other; put the inner one in parentheses"#,
            ),
            (
                "while == 1 || for(1)",
                r#"reserved-word at "while": `while` is a reserved word of CEL and cannot be a name
reserved-word at "for": `for` is a reserved word of CEL and cannot be a name"#,
            ),
            ("hidden ? true", r#"unexpected-token at "": expected `:` and what holds otherwise, found the end"#),
            ("title.", r#"unexpected-token at "": expected a name, found the end"#),
            ("title.'a'", r#"unexpected-token at "'a'": expected a name, found a text"#),
            ("tags[", r#"unexpected-token at "": expected a value, found the end"#),
            ("tags[0", r#"unexpected-token at "": expected `]`, found the end; it closes what opens at byte 4"#),
            ("tags[?0]", r#"unsupported-syntax at "?": rules have no optional values"#),
            (
                "comments.exists(1, true)",
                r#"bad-macro at "1": the first argument of `exists` is the name of a variable; as in `posts.exists(p, p.status == 'draft')`"#,
            ),
            (
                "comments.exists(c.x, true)",
                r#"bad-macro at "c.x": the first argument of `exists` is the name of a variable; as in `posts.exists(p, p.status == 'draft')`"#,
            ),
            ("has(1 + 2)", r#"bad-macro at "1 + 2": `has()` wants a field, as in `has(author.name)`"#),
            ("{'a': 1}", r#"unsupported-syntax at "{'a': 1}": rules have no maps"#),
            ("Foo{a: 1}", r#"unsupported-syntax at "Foo{a: 1}": rules have no messages"#),
            (".title == 'a'", r#"unsupported-syntax at ".title": rules have no namespaces; write `title`"#),
            ("hidden hidden", r#"unexpected-token at "hidden": expected an operator or the end, found `hidden`"#),
            ("[1, 2", r#"unexpected-token at "": expected `]`, found the end; it closes what opens at byte 0"#),
            ("f(1,)", r#"unexpected-token at ")": expected a value, found `)`"#),
        ],
    );
}

#[test]
fn names() {
    let model = blog();
    check(
        &scope(&model, Expect::Bool),
        &[
            (
                "titel == 'a'",
                r#"unknown-name at "titel": "posts" has no field or relation "titel"; did you mean "title"?"#,
            ),
            (
                "author.nmae == 'a'",
                r#"unknown-name at "nmae": "users" has no field or relation "nmae"; did you mean "name"?"#,
            ),
            (
                "autor.name == 'a'",
                r#"unknown-name at "autor": "posts" has no field or relation "autor"; did you mean "author"?"#,
            ),
            ("zzz == 1", r#"unknown-name at "zzz": "posts" has no field or relation "zzz""#),
            (
                "this.title == 'a'",
                r#"unknown-name at "this": "posts" has no field or relation "this"; fields of the row are named plainly"#,
            ),
            (
                "user.id == author_id",
                r#"unknown-name at "user": "posts" has no field or relation "user"; the caller is `auth`: `auth.id`, `auth.roles`, …"#,
            ),
            ("auth.uid == author_id", r#"unknown-name at "uid": `auth` has no "uid"; did you mean "id"?"#),
            (
                "auth.level == 'admin'",
                r#"unknown-name at "level": `auth` has no "level"; did you mean "profile.level"?"#,
            ),
            ("auth.profile.lvl == 'admin'", r#"unknown-name at "lvl": "users" has no field or relation "lvl""#),
            (
                "new.titel == 'a'",
                r#"unknown-name at "titel": "posts" has no field or relation "titel"; did you mean "title"?"#,
            ),
            (
                "new.author.nam == 'a'",
                r#"unknown-name at "nam": "users" has no field or relation "nam"; did you mean "name"?"#,
            ),
            (
                "comments.exists(c, c.bdy == '')",
                r#"unknown-name at "bdy": "comments" has no field or relation "bdy"; did you mean "body"?"#,
            ),
            (
                "comments.exists(c, d.body == '')",
                r#"unknown-name at "d": "posts" has no field or relation "d"; did you mean "c"?"#,
            ),
            (
                "author.password == 'x'",
                r#"secret-in-rule at "password": "password" is of type secret, which no rule may read"#,
            ),
            (
                "comments.exists(c, c.user.password == 'x')",
                r#"secret-in-rule at "password": "password" is of type secret, which no rule may read"#,
            ),
            (
                "auth.profile.password == 'x'",
                r#"secret-in-rule at "password": "password" is of type secret, which no rule may read"#,
            ),
            ("auth.profile.pasword == 'x'", r#"unknown-name at "pasword": "users" has no field or relation "pasword""#),
            (
                "title.includes('x')",
                r#"unknown-function at "includes": there is no function `includes`; did you mean "contains"?"#,
            ),
            (
                "title.startWith('x')",
                r#"unknown-function at "startWith": there is no function `startWith`; did you mean "startsWith"?"#,
            ),
            ("title.replace('x', 'y') == ''", r#"unsupported-syntax at "replace": rules have no `replace`"#),
            ("len(title) == 1", r#"unknown-function at "len": there is no function `len`; did you mean "size"?"#),
            (
                "now() > published_at",
                r#"unknown-function at "now": there is no function `now`; the time of the request is `now`, without parentheses"#,
            ),
            (
                "contains(title, 'x')",
                r#"unknown-function at "contains": there is no function `contains`; write `….contains(…)`"#,
            ),
            ("title.int() == 1", r#"unknown-function at "int": there is no function `int`; write `int(…)`"#),
            ("frobnicate(title)", r#"unknown-function at "frobnicate": there is no function `frobnicate`"#),
            ("title.frobnicate()", r#"unknown-function at "frobnicate": there is no function `frobnicate`"#),
            (
                "status == 'publishd'",
                r#"unknown-value at "'publishd'": "publishd" is never its value; did you mean "published"?"#,
            ),
            ("status == 'x'", r#"unknown-value at "'x'": "x" is never its value; it is one of: draft, published"#),
            (
                "status in ['draft', 'publish']",
                r#"unknown-value at "'publish'": "publish" is never its value; did you mean "published"?"#,
            ),
            (
                "auth.role == 'admin'",
                r#"unknown-value at "'admin'": "admin" is never its value; a role of your own is asked for by `'admin' in auth.roles`"#,
            ),
            (
                "auth.role == 'authenticatd'",
                r#"unknown-value at "'authenticatd'": "authenticatd" is never its value; did you mean "authenticated"?"#,
            ),
            ("'merry' in moods", r#"unknown-value at "'merry'": "merry" is never its value; it is one of: glad, sad"#),
            ("moods[0] == 'gladd'", r#"unknown-value at "'gladd'": "gladd" is never its value; did you mean "glad"?"#),
            (
                "author.level != 'owner'",
                r#"unknown-value at "'owner'": "owner" is never its value; it is one of: member, editor, admin"#,
            ),
        ],
    );
}

#[test]
fn types() {
    let model = blog();
    check(
        &scope(&model, Expect::Bool),
        &[
            (
                "title",
                r#"type-mismatch at "title": expected a condition (bool), found text; compare it with something, or with null: `… != null`"#,
            ),
            (
                "views",
                r#"type-mismatch at "views": expected a condition (bool), found int; compare it with something, or with null: `… != null`"#,
            ),
            ("null", r#"type-mismatch at "null": expected a condition (bool), found null"#),
            (
                "meta.flag",
                r#"type-mismatch at "meta.flag": expected a condition (bool), found json; compare it: `… == true`"#,
            ),
            (
                "tags",
                r#"type-mismatch at "tags": expected a condition (bool), found list of text; whether it has elements is `size(…) > 0`"#,
            ),
            (
                "author",
                r#"relation-as-value at "author": a row is not a condition; whether there is one is `… != null`"#,
            ),
            (
                "comments",
                r#"relation-as-value at "comments": this is many rows, not a value; ask about them with `exists`, `all`, `exists_one` or `size`"#,
            ),
            (
                "auth",
                r#"relation-as-value at "auth": `auth` is not a value; a caller who is signed in has `auth.id != null`"#,
            ),
            (
                "auth.claims",
                r#"relation-as-value at "auth.claims": `auth.claims` is not a value; name a claim, as in `auth.claims.org`"#,
            ),
            ("new", r#"relation-as-value at "new": a row is not a condition; whether there is one is `… != null`"#),
            (
                "views && hidden",
                r#"type-mismatch at "views": expected a condition (bool), found int; compare it with something, or with null: `… != null`"#,
            ),
            (
                "!views",
                r#"type-mismatch at "views": expected a condition (bool), found int; compare it with something, or with null: `… != null`"#,
            ),
            (
                "views ? true : false",
                r#"type-mismatch at "views": expected a condition (bool), found int; compare it with something, or with null: `… != null`"#,
            ),
            (
                "views == 'x'",
                r#"type-mismatch at "views == 'x'": int cannot be compared with text; convert the other: `string(…)`"#,
            ),
            (
                "views == '1'",
                r#"type-mismatch at "views == '1'": int cannot be compared with text; write it without quotes"#,
            ),
            (
                "hidden == 'true'",
                r#"type-mismatch at "hidden == 'true'": bool cannot be compared with text; write it without quotes"#,
            ),
            (
                "auth.role == 1",
                r#"type-mismatch at "auth.role == 1": text cannot be compared with int; convert the other: `string(…)`"#,
            ),
            (
                "author_id == title",
                r#"type-mismatch at "author_id == title": uuid cannot be compared with text; convert the text: `uuid(…)`"#,
            ),
            ("author_id == 'x'", r#"bad-literal at "'x'": this text is no uuid; expected a UUID"#),
            (
                "author_id in ['x', 'y']",
                r#"bad-literal at "'x'": this text is no uuid; expected a UUID
bad-literal at "'y'": this text is no uuid; expected a UUID"#,
            ),
            (
                "day == '2026-02-30'",
                r#"bad-literal at "'2026-02-30'": this text is no date; expected a date like 2026-01-31"#,
            ),
            (
                "published_at == day",
                r#"type-mismatch at "published_at == day": timestamp cannot be compared with date; take its day: `date(…)`"#,
            ),
            (
                "published_at > 'yesterday'",
                r#"bad-literal at "'yesterday'": this text is no timestamp; expected a timestamp like 2026-01-31T12:00:00Z"#,
            ),
            ("published_at > 5", r#"type-mismatch at "published_at > 5": timestamp cannot be ordered against int"#),
            (
                "(now - published_at) > '1h'",
                r#"type-mismatch at "(now - published_at) > '1h'": duration cannot be ordered against text; convert the text: `duration(…)`"#,
            ),
            (
                "views < null",
                r#"type-mismatch at "views < null": int cannot be ordered against null; nothing is before or after null"#,
            ),
            (
                "meta.a < meta.b",
                r#"type-mismatch at "meta.a < meta.b": json cannot be ordered against json; say what one of them holds: `int(…)`, `double(…)` or `string(…)`"#,
            ),
            ("tags < tags", r#"type-mismatch at "tags < tags": list of text cannot be ordered against list of text"#),
            (
                "tags == 'a'",
                r#"type-mismatch at "tags == 'a'": list of text cannot be compared with text; whether a list holds it is `… in …`"#,
            ),
            ("tags == marks", r#"type-mismatch at "tags == marks": list of text cannot be compared with list of int"#),
            (
                "author == auth.id",
                r#"relation-as-value at "author": this is a row, not a value; its key here is "author_id"; or name one of its fields, or compare it with null"#,
            ),
            (
                "author == author",
                r#"relation-as-value at "author": this is a row, not a value; its key here is "author_id"; or name one of its fields, or compare it with null
relation-as-value at "author": this is a row, not a value; its key here is "author_id"; or name one of its fields, or compare it with null"#,
            ),
            (
                "auth != null",
                r#"relation-as-value at "auth": `auth` is not a value; a caller who is signed in has `auth.id != null`"#,
            ),
            (
                "comments == null",
                r#"relation-as-value at "comments": many rows are never null; whether there are none is `size(…) == 0`"#,
            ),
            ("new == null", r#"relation-as-value at "new": this row always exists"#),
            ("has(new)", r#"relation-as-value at "new": this row always exists"#),
            (
                "has(comments)",
                r#"relation-as-value at "comments": `has()` of many rows; whether there are any is `size(…) > 0`"#,
            ),
            (
                "has(auth)",
                r#"relation-as-value at "auth": `auth` is not a value; a caller who is signed in has `auth.id != null`"#,
            ),
            ("comments.exists(c, c == null)", r#"relation-as-value at "c": this row always exists"#),
            (
                "comments.body == 'x'",
                r#"relation-as-value at "body": "body" of many rows of "comments"; ask about each: `….exists(x, x.body == …)`"#,
            ),
            (
                "author_id.name == 'x'",
                r#"type-mismatch at "name": uuid has no members; the related row is "author": `author.name`"#,
            ),
            ("title.name == 'x'", r#"type-mismatch at "name": text has no members"#),
            (
                "author.exists(a, a.name == 'x')",
                r#"type-mismatch at "author": this leads to one row, not to many; name its fields directly, as in `author.name`"#,
            ),
            (
                "title.exists(a, true)",
                r#"type-mismatch at "title": `exists` wants a list or a to-many relation, this is text"#,
            ),
            (
                "comments.map(c, c.body) == ['x']",
                r#"unsupported-syntax at "comments.map(c, c.body)": rules have no `map`; ask about each with `exists` or `all`"#,
            ),
            (
                "comments.exists(c)",
                r#"wrong-arguments at "comments.exists(c)": `exists` takes a variable and a condition; as in `posts.exists(p, p.status == 'draft')`"#,
            ),
            (
                "comments.contains('x')",
                r#"relation-as-value at "comments": this is many rows, not a value; ask about them with `exists`, `all`, `exists_one` or `size`"#,
            ),
            (
                "size(tags.filter(t, t == 'x')) > 0",
                r#"unsupported-syntax at "tags": rules have no `filter` of a list; lists have `exists` and `all`; relations also `exists_one` and `filter`"#,
            ),
            (
                "tags.exists_one(t, t == 'x')",
                r#"unsupported-syntax at "tags": rules have no `exists_one` of a list; lists have `exists` and `all`; relations also `exists_one` and `filter`"#,
            ),
            (
                "comments.exists(auth, true)",
                r#"bad-macro at "auth": `auth` has a meaning of its own and cannot name a variable"#,
            ),
            (
                "comments.exists(c, c.body)",
                r#"type-mismatch at "c.body": expected a condition (bool), found text; compare it with something, or with null: `… != null`"#,
            ),
            (
                "views in title",
                r#"type-mismatch at "title": `in` wants a list, this is text; whether a text holds another is `text.contains(other)`"#,
            ),
            (
                "'x' in title",
                r#"type-mismatch at "title": `in` wants a list, this is text; whether a text holds another is `text.contains(other)`"#,
            ),
            (
                "auth.id in comments",
                r#"relation-as-value at "comments": `in` wants a list, this is many rows; ask about each: `….exists(x, x.… == …)`"#,
            ),
            ("views in tags", r#"type-mismatch at "views in tags": int cannot be in a list of text"#),
            ("views in 5", r#"type-mismatch at "5": `in` wants a list, this is int"#),
            ("views in [1, 'x']", r#"type-mismatch at "'x'": expected int, found text; convert it: `int(…)`"#),
            ("views in [1.5]", r#"type-mismatch at "1.5": expected int, found float; convert it: `int(…)`"#),
            (
                "title in ['x', null]",
                r#"type-mismatch at "null": a list holds no nulls; ask for it apart: `… == null || … in […]`"#,
            ),
            (
                "views + 1.5 > rating",
                r#"type-mismatch at "views + 1.5": int + float has no meaning; make both of a kind: `int(…)` or `double(…)`"#,
            ),
            (
                "views + rating > 1",
                r#"type-mismatch at "views + rating": int + float has no meaning; make both of a kind: `int(…)` or `double(…)`"#,
            ),
            (
                "price * 2 > 1",
                r#"type-mismatch at "price * 2": decimal(10, 2) * int has no meaning; decimals are compared, not computed with; for an approximate number write `double(…)`"#,
            ),
            (
                "rating % 2.0 == 1.0",
                r#"type-mismatch at "rating % 2.0": float % float has no meaning; `%` is for ints: `int(…)`"#,
            ),
            (
                "meta.n + 1 == 2",
                r#"type-mismatch at "meta.n + 1": json + int has no meaning; say what it holds: `int(…)`, `double(…)` or `string(…)`"#,
            ),
            (
                "title + 1 == 'x'",
                r#"type-mismatch at "title + 1": text + int has no meaning; text goes with text: `string(…)`"#,
            ),
            ("title - 'x' == ''", r#"type-mismatch at "title - 'x'": text - text has no meaning"#),
            (
                "now + 5 > now",
                r#"type-mismatch at "now + 5": timestamp + int has no meaning; time goes with durations: `now - duration('1h')`"#,
            ),
            (
                "now + now > now",
                r#"type-mismatch at "now + now": timestamp + timestamp has no meaning; time goes with durations: `now - duration('1h')`"#,
            ),
            (
                "-title == 'x'",
                r#"type-mismatch at "title": expected a number, found text; convert it: `int(…)` or `double(…)`"#,
            ),
            (
                "-price < 1",
                r#"type-mismatch at "price": expected a number, found decimal(10, 2); convert it: `int(…)` or `double(…)`"#,
            ),
            ("1 / 0 == 1", r#"constant-error at "1 / 0": this divides by zero"#),
            (
                "9223372036854775807 + 1 > views",
                r#"constant-error at "9223372036854775807 + 1": this overflows 64 bits"#,
            ),
            ("hidden ? 1 : 'x'", r#"type-mismatch at "hidden ? 1 : 'x'": one way gives int, the other text"#),
            (
                "size(views) == 1",
                r#"type-mismatch at "views": int has no size; text, bytes, lists, JSON and to-many relations have one"#,
            ),
            (
                "size(author) == 1",
                r#"relation-as-value at "author": this is a row, not a value; its key here is "author_id"; or name one of its fields, or compare it with null"#,
            ),
            ("size() == 1", r#"wrong-arguments at "size()": `size` takes 1 argument, not 0"#),
            ("size(title, title) == 1", r#"wrong-arguments at "size(title, title)": `size` takes 1 argument, not 2"#),
            (
                "title.startsWith('a', 'b')",
                r#"wrong-arguments at "title.startsWith('a', 'b')": `startsWith` takes 1 argument, not 2"#,
            ),
            ("title.startsWith(1)", r#"type-mismatch at "1": expected text, found int; convert it: `string(…)`"#),
            ("views.contains('x')", r#"type-mismatch at "views": expected text, found int; convert it: `string(…)`"#),
            (
                "meta.a.contains('x')",
                r#"type-mismatch at "meta.a": expected text, found json; convert it: `string(…)`"#,
            ),
            (
                "tags.contains('x')",
                r#"type-mismatch at "tags": expected text, found list of text; whether a list holds something is `… in …`"#,
            ),
            (
                r"title.matches('(')",
                r#"bad-pattern at "'('": this is no regular expression: unclosed group; RE2 syntax, which has no look-around and no back-references"#,
            ),
            (
                r"title.matches('(?=a)')",
                r#"bad-pattern at "'(?=a)'": this is no regular expression: look-around, including look-ahead and look-behind, is not supported; RE2 syntax, which has no look-around and no back-references"#,
            ),
            (
                r"title.matches('\\w{1000}{1000}')",
                r#"bad-pattern at "'\\\\w{1000}{1000}'": this is no regular expression: Compiled regex exceeds size limit of 1048576 bytes; RE2 syntax, which has no look-around and no back-references"#,
            ),
            (
                "now.getHours('UTC') == 1",
                r#"wrong-arguments at "'UTC'": rules know no time zones, only UTC; write `getHours()`, or add a duration to the instant first"#,
            ),
            (
                "title.getHours() == 1",
                r#"type-mismatch at "title": expected timestamp or duration, found text; convert it: `timestamp(…)`"#,
            ),
            ("day.getHours() == 1", r#"type-mismatch at "day": expected timestamp or duration, found date"#),
            ("int('x') == 1", r#"bad-literal at "'x'": this is no int; expected a whole number of at most 64 bits"#),
            ("int(hidden) == 1", r#"type-mismatch at "hidden": bool cannot become int"#),
            (
                "timestamp('2026-13-01T00:00:00Z') < now",
                r#"bad-literal at "'2026-13-01T00:00:00Z'": this is no timestamp; expected a timestamp like 2026-01-31T12:00:00Z"#,
            ),
            (
                "now - duration('1 hour') < now",
                r#"bad-literal at "'1 hour'": this is no duration; expected a duration like 90s, 1h30m or 250ms"#,
            ),
            ("uuid('x') == author_id", r#"bad-literal at "'x'": this is no uuid; expected a UUID"#),
            ("string(tags) == ''", r#"type-mismatch at "tags": list of text cannot become text"#),
            ("date(views) == day", r#"type-mismatch at "views": int cannot become date"#),
            ("tags['a'] == 'x'", r#"type-mismatch at "'a'": an element's position is an int, not text"#),
            ("tags[-1] == 'x'", r#"constant-error at "-1": positions count from 0"#),
            ("title[0] == 'x'", r#"type-mismatch at "title": text has no elements"#),
            ("meta[1.5] == 'x'", r#"type-mismatch at "1.5": a member of JSON is named by text or int, not float"#),
            ("auth.claims[title] == 'x'", r#"type-mismatch at "title": a claim's name is a literal text"#),
            (
                "[[1]] == [[1]]",
                r#"type-mismatch at "[1]": a list holds scalars, not list of int
type-mismatch at "[1]": a list holds scalars, not list of int"#,
            ),
            (
                "type(title) == string",
                r#"unsupported-syntax at "type": rules have no `type`
unknown-name at "string": "posts" has no field or relation "string""#,
            ),
        ],
    );
}

#[test]
fn several_at_once() {
    let model = blog();
    check(
        &scope(&model, Expect::Bool),
        &[
            (
                "titel == 'a' && views == 'x' || status == 'publishd' && author.nmae != auth.uid",
                r#"unknown-name at "titel": "posts" has no field or relation "titel"; did you mean "title"?
type-mismatch at "views == 'x'": int cannot be compared with text; convert the other: `string(…)`
unknown-value at "'publishd'": "publishd" is never its value; did you mean "published"?
unknown-name at "nmae": "users" has no field or relation "nmae"; did you mean "name"?
unknown-name at "uid": `auth` has no "uid"; did you mean "id"?"#,
            ),
            (
                "comments.exists(c, c.bdy == titel) && frob(zzz)",
                r#"unknown-name at "bdy": "comments" has no field or relation "bdy"; did you mean "body"?
unknown-name at "titel": "posts" has no field or relation "titel"; did you mean "title"?
unknown-function at "frob": there is no function `frob`
unknown-name at "zzz": "posts" has no field or relation "zzz""#,
            ),
            (
                "[titel, viws] == [nme]",
                r#"unknown-name at "titel": "posts" has no field or relation "titel"; did you mean "title"?
unknown-name at "viws": "posts" has no field or relation "viws"; did you mean "views"?
unknown-name at "nme": "posts" has no field or relation "nme""#,
            ),
            (
                "size(titel, viws)",
                r#"wrong-arguments at "size(titel, viws)": `size` takes 1 argument, not 2
unknown-name at "titel": "posts" has no field or relation "titel"; did you mean "title"?
unknown-name at "viws": "posts" has no field or relation "viws"; did you mean "views"?"#,
            ),
        ],
    );
}

#[test]
fn what_the_place_forbids() {
    let model = blog();
    let closed = Scope {
        allow_new: false,
        allow_auth: false,
        allow_relations: false,
        allow_now: false,
        profile: None,
        ..scope(&model, Expect::Bool)
    };
    check(
        &closed,
        &[
            (
                "new.title == title",
                r#"new-not-allowed at "new": `new` exists in `update` rules only; here, plain names already are the row's fields"#,
            ),
            (
                "auth.id == author_id",
                r#"auth-not-allowed at "auth": the caller must not matter here; what depends on the caller belongs in [access] or in a field's read and write"#,
            ),
            (
                "now > published_at",
                r#"now-not-allowed at "now": the time must not matter here; a check must stay true of a row that nobody touches"#,
            ),
            (
                "author.name == title",
                r#"relation-not-allowed at "author": only the row's own fields may be used here; other rows may be asked about in [access] and in a field's read and write"#,
            ),
            (
                "comments.exists(c, c.body == '')",
                r#"relation-not-allowed at "comments": only the row's own fields may be used here; other rows may be asked about in [access] and in a field's read and write"#,
            ),
            ("ath.id == author_id", r#"unknown-name at "ath": "posts" has no field or relation "ath""#),
        ],
    );
    let no_profile = Scope { profile: None, ..scope(&model, Expect::Bool) };
    check(
        &no_profile,
        &[(
            "auth.profile.name == title",
            r#"unknown-name at "auth.profile": users have no profile; name its collection in undergird.toml: `[auth] profile = "…"`"#,
        )],
    );
    let no_row = Scope { this: None, ..scope(&model, Expect::Bool) };
    check(
        &no_row,
        &[
            ("title == 'x'", r#"unknown-name at "title": there is no "title""#),
            (
                "new.title == 'x'",
                r#"new-not-allowed at "new": `new` exists in `update` rules only; here, plain names already are the row's fields"#,
            ),
        ],
    );
}
