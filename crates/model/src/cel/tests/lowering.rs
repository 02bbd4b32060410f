//! Text → typed expression.

use super::{blog, check, outcome, scope};
use crate::cel::Expect;
use crate::value::{Kind, Type};

#[test]
fn conditions() {
    let model = blog();
    check(
        &scope(&model, Expect::Bool),
        &[
            // Fields, literals, `auth`.
            (
                "status == 'published' || author_id == auth.id",
                r#"(or (= this.status "published") (= this.author_id auth.id))"#,
            ),
            ("auth.id != null", "(not (= auth.id null))"),
            ("null == title", "(= this.title null)"),
            ("'admin' in auth.roles", r#"(in "admin" auth.roles)"#),
            ("auth.role == 'service_role'", r#"(= auth.role "service_role")"#),
            ("auth.aal == 'aal2'", r#"(= auth.aal "aal2")"#),
            ("'totp' in auth.amr", r#"(in "totp" auth.amr)"#),
            ("auth.email.endsWith('@x.org')", r#"(EndsWith auth.email "@x.org")"#),
            ("hidden", "this.hidden"),
            ("!hidden", "(not this.hidden)"),
            ("!!hidden", "(not (not this.hidden))"),
            ("!(title == 'a')", r#"(not (= this.title "a"))"#),
            ("title != 'a'", r#"(not (= this.title "a"))"#),
            ("!(title != 'a')", r#"(= this.title "a")"#),
            ("true && hidden", "(and this.hidden)"),
            ("views > 1 && views < 5 && hidden", "(and (Greater this.views 1) (Less this.views 5) this.hidden)"),
            ("false && hidden", "false"),
            // `new`.
            ("new.author_id == author_id", "(= new.author_id this.author_id)"),
            (
                "new.author.team_id == author.team_id",
                "(= (via new.author r2 r2.team_id) (via this.author r3 r3.team_id))",
            ),
            // To-one relations.
            ("author.name == 'A'", r#"(= (via this.author r2 r2.name) "A")"#),
            ("author.team.owner_id == auth.id", "(= (via this.author r2 (via r2.team r3 r3.owner_id)) auth.id)"),
            ("author == null", "(not (exists this.author r2 true))"),
            ("author != null", "(exists this.author r2 true)"),
            ("has(author)", "(exists this.author r2 true)"),
            ("author.team == null", "(not (exists this.author r2 (exists r2.team r3 true)))"),
            ("has(author.name)", "(not (= (via this.author r2 r2.name) null))"),
            ("has(title)", "(not (= this.title null))"),
            // To-many relations.
            ("comments.exists(c, c.user_id == auth.id)", "(exists this.comments r2 (= r2.user_id auth.id))"),
            ("comments.all(c, c.user_id == auth.id)", "(not (exists this.comments r2 (not (= r2.user_id auth.id))))"),
            ("comments.exists_one(c, c.user_id == auth.id)", "(= (count this.comments r2 (= r2.user_id auth.id)) 1)"),
            ("size(comments) < 3", "(Less (count this.comments r2 true) 3)"),
            ("comments.size() < 3", "(Less (count this.comments r2 true) 3)"),
            ("size(comments.filter(c, c.body == '')) == 0", r#"(= (count this.comments r2 (= r2.body "")) 0)"#),
            (
                "comments.filter(c, c.body == '').exists(d, d.user_id == auth.id)",
                r#"(exists this.comments r2 (and (= r2.body "") (= r2.user_id auth.id)))"#,
            ),
            (
                "comments.exists(c, c.user.team_id == author.team_id)",
                "(exists this.comments r2 (= (via r2.user r3 r3.team_id) (via this.author r4 r4.team_id)))",
            ),
            ("author.posts.exists(p, p.hidden)", "(exists this.author r2 (exists r2.posts r3 r3.hidden))"),
            ("!author.posts.exists(p, p.hidden)", "(not (exists this.author r2 (exists r2.posts r3 r3.hidden)))"),
            ("author.posts.size() > 1", "(Greater (via this.author r2 (count r2.posts r3 true)) 1)"),
            (
                "author.posts.exists(p, p.comments.exists(c, c.body == p.title))",
                "(exists this.author r2 (exists r2.posts r3 (exists r3.comments r4 (= r4.body r3.title))))",
            ),
            // Inner variables hide outer names.
            ("comments.exists(title, title.body == 'x')", r#"(exists this.comments r2 (= r2.body "x"))"#),
            // Many-to-many.
            ("topics.exists(t, t.name == 'a')", r#"(exists this.post_topics r2 (exists r2.topic r3 (= r3.name "a")))"#),
            (
                "topics.all(t, t.name == 'a')",
                r#"(not (exists this.post_topics r2 (exists r2.topic r3 (not (= r3.name "a")))))"#,
            ),
            ("size(topics) == 0", "(= (count this.post_topics r2 (exists r2.topic r3 true)) 0)"),
            // The profile.
            ("auth.profile.level == 'admin'", r#"(= (profile r2 r2.level) "admin")"#),
            ("auth.profile.team.name == 'x'", r#"(= (profile r2 (via r2.team r3 r3.name)) "x")"#),
            ("auth.profile == null", "(not (and (profile r2 true)))"),
            ("auth.profile.posts.exists(p, p.hidden)", "(and (profile r2 (exists r2.posts r3 r3.hidden)))"),
            // Claims and JSON.
            ("auth.claims.org == 'x'", r#"(= claim.org "x")"#),
            ("auth.claims.a['b'].c == 1", "(= claim.a.b.c 1)"),
            ("auth.claims['a'][0] == 1", "(= (JsonGet claim.a 0) 1)"),
            ("has(auth.claims.a)", "(not (not (JsonPresent claim.a)))"),
            ("meta.a.b == 'x'", r#"(= (JsonGet (JsonGet this.meta "a") "b") "x")"#),
            ("meta[title] == 1.5", "(= (JsonGet this.meta this.title) 1.5)"),
            ("meta.a == null", r#"(not (JsonPresent (JsonGet this.meta "a")))"#),
            ("has(meta.a)", r#"(not (not (JsonPresent (JsonGet this.meta "a"))))"#),
            (
                "author.team.settings.open == true",
                r#"(= (JsonGet (via this.author r2 (via r2.team r3 r3.settings)) "open") true)"#,
            ),
            ("author_id == auth.claims.uid", "(= this.author_id claim.uid)"),
            ("int(meta.n) + 1 > views", r#"(Greater (Add (ToInt (JsonGet this.meta "n")) 1) this.views)"#),
            ("auth.claims.orgs.exists(o, o == title)", "(any claim.orgs e0 (= e0 this.title))"),
            ("title in meta.names", r#"(in this.title (JsonGet this.meta "names"))"#),
            // Lists.
            ("'x' in tags", r#"(in "x" this.tags)"#),
            ("tags[0] == 'x'", r#"(= (Element this.tags 0) "x")"#),
            ("tags.exists(t, t.startsWith('x'))", r#"(any this.tags e0 (StartsWith e0 "x"))"#),
            (
                "tags.all(t, t in author.team.settings.tags)",
                r#"(not (any this.tags e0 (not (in e0 (JsonGet (via this.author r2 (via r2.team r3 r3.settings)) "tags")))))"#,
            ),
            ("tags == []", "(= this.tags [])"),
            ("tags == ['a', 'b']", r#"(= this.tags ["a" "b"])"#),
            ("size(tags) > 0", "(Greater (ListSize this.tags) 0)"),
            ("1 in marks", "(in 1 this.marks)"),
            ("views in marks", "(in this.views this.marks)"),
            ("moods.exists(m, m == 'sad')", r#"(any this.moods e0 (= e0 "sad"))"#),
            ("status in ['draft', 'published']", r#"(in this.status ["draft" "published"])"#),
            ("title in [author.name, 'x']", r#"(in this.title [(via this.author r2 r2.name) "x"])"#),
            ("views in [1, 2.0]", "(in this.views [1 2])"),
            ("rating in [1, 2.5]", "(in this.rating [1.0 2.5])"),
            ("price in [1, 2.5]", "(in this.price [1d 2.5d])"),
            ("meta.a in ['x', 1, true]", r#"(in (JsonGet this.meta "a") [json"x" json1 jsontrue])"#),
            ("title in []", "(in this.title [])"),
            // Literals become the other side's type.
            (
                "author_id == '01890a5d-ac96-774b-bcce-b302099a8057'",
                "(= this.author_id #01890a5d-ac96-774b-bcce-b302099a8057)",
            ),
            ("'1970-01-02' <= day", "(LessOrEqual day1 this.day)"),
            ("published_at < '1970-01-01T00:00:01Z'", "(Less this.published_at t1000000)"),
            ("hour == '00:01'", "(= this.hour time60000000)"),
            (
                "author_id in ['01890a5d-ac96-774b-bcce-b302099a8057']",
                "(in this.author_id [#01890a5d-ac96-774b-bcce-b302099a8057])",
            ),
            ("price == 0.1", "(= this.price 0.1d)"),
            ("price > -5", "(Greater this.price -5d)"),
            ("rating == 1", "(= this.rating 1.0)"),
            ("views == 1.0", "(= this.views 1)"),
            ("views < 1.5", "(Less this.views 1.5)"),
            ("views < rating", "(Less this.views this.rating)"),
            // Arithmetic.
            ("views * 2 + 1 > 3", "(Greater (Add (Multiply this.views 2) 1) 3)"),
            ("rating / 2 > 1", "(Greater (Divide this.rating 2.0) 1.0)"),
            ("-views < -(3)", "(Less (- this.views) -3)"),
            ("views % 2 == 0", "(= (Remainder this.views 2) 0)"),
            ("title + '!' == 'a' + 'b'", r#"(= (Concatenate this.title "!") "ab")"#),
            ("published_at < now - duration('1h')", "(Less this.published_at (Subtract now 3600000000us))"),
            ("duration('1s') + now > published_at", "(Greater (Add now 1000000us) this.published_at)"),
            ("now - published_at > duration('1.5s')", "(Greater (Subtract now this.published_at) 1500000us)"),
            ("(hidden ? views : 0) > 1", "(Greater (if this.hidden this.views 0) 1)"),
            ("(hidden ? null : title) == 'x'", r#"(= (if this.hidden null this.title) "x")"#),
            ("hidden ? views > 1 : true", "(if this.hidden (Greater this.views 1) true)"),
            // Functions.
            ("size(title) <= 5", "(LessOrEqual (TextSize this.title) 5)"),
            ("title.size() == 5", "(= (TextSize this.title) 5)"),
            ("size(data) > 0", "(Greater (BytesSize this.data) 0)"),
            ("size(meta) > 0", "(Greater (JsonSize this.meta) 0)"),
            ("title.contains('x')", r#"(Contains this.title "x")"#),
            ("title.matches('^a+$')", r#"(Matches this.title "^a+$")"#),
            ("matches(title, author.name)", "(Matches this.title (via this.author r2 r2.name))"),
            ("title.lowerAscii().trim() == ''", r#"(= (Trim (LowerAscii this.title)) "")"#),
            ("now.getFullYear() == 2026", "(= (Year now) 2026)"),
            ("day.getMonth() == 0", "(= (Month this.day) 0)"),
            ("(now - published_at).getHours() < 2", "(Less (Hours (Subtract now this.published_at)) 2)"),
            ("date(now) == day", "(= (ToDate now) this.day)"),
            ("string(views) == title", "(= (ToText this.views) this.title)"),
            ("uuid(title) == author_id", "(= (ToUuid this.title) this.author_id)"),
            ("double(price) > 1.5", "(Greater (ToFloat this.price) 1.5)"),
            ("timestamp(day) < now", "(Less (ToTimestamp this.day) now)"),
            ("bool(title)", "(ToBool this.title)"),
            ("timestamp('1970-01-01T00:00:00Z') < now", "(Less t0 now)"),
            ("timestamp(1) < now", "(Less t1000000 now)"),
            ("data == b'ab'", "(= this.data b[97, 98])"),
            // Comments and white space.
            ("// why\n  hidden // so", "this.hidden"),
        ],
    );
}

#[test]
fn values() {
    let model = blog();
    let cases = [
        (Type::UUID, "auth.id", "auth.id"),
        (Type::TIMESTAMP, "now", "now"),
        (Type::TIMESTAMP, "now + duration('24h')", "(Add now 86400000000us)"),
        (Type::Scalar(Kind::Date), "'1970-01-02'", "day1"),
        (Type::Scalar(Kind::Date), "date(now)", "(ToDate now)"),
        (Type::Scalar(Kind::Decimal { precision: 10, scale: 2 }), "1.25", "1.25d"),
        (Type::FLOAT, "1", "1.0"),
        (
            Type::TEXT,
            "title + '-' + string(views)",
            r#"(Concatenate (Concatenate this.title "-") (ToText this.views))"#,
        ),
        (Type::List(Kind::Text), "['a', title]", r#"["a" this.title]"#),
        (Type::List(Kind::Float), "[1, 2]", "[1.0 2.0]"),
        (Type::List(Kind::Text), "[]", "[]"),
        (Type::JSON, "'a'", r#"json"a""#),
        (Type::INT, "null", "null"),
        (Type::INT, "hidden ? 1 : 2", "(if this.hidden 1 2)"),
        (Type::INT, "title", "type-mismatch at \"title\": expected int, found text; convert it: `int(…)`"),
        (Type::UUID, "'x'", "bad-literal at \"'x'\": this text is no uuid; expected a UUID"),
        (
            Type::TEXT,
            "author",
            "relation-as-value at \"author\": this is a row, not a value; its key here is \"author_id\"; or name one of its fields, or compare it with null",
        ),
    ];
    for (ty, text, expected) in cases {
        assert_eq!(outcome(text, &scope(&model, Expect::Type(ty))), expected, "{text}");
    }
}
