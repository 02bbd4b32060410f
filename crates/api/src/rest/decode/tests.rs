//! The dialect as tables: a request in, its decoded form on one line out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod show;

use super::*;
use show::show;

fn limits() -> Limits {
    undergird_model::settings::Settings::default().limits
}

fn decoded(text: &str) -> Result<Decoded, Malformed> {
    let (method, rest) = text.split_once(' ').unwrap_or(("GET", text));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (collection, key) = path.split_once('/').map_or((path, None), |(collection, key)| (collection, Some(key)));
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let body = matches!(method.as_str(), "POST" | "PATCH" | "PUT").then_some(&b"{}"[..]);
    decode(&Head { key, ..Head::new(&method, collection, query) }, body, &limits())
}

/// A query on `t`, as the decoded parts.
fn check(query: &str, expected: &str) {
    let found = match decoded(&format!("GET t?{query}")) {
        Ok(decoded) => show(&decoded),
        Err(malformed) => {
            format!("{} {} | {}", malformed.code, malformed.message, malformed.details.unwrap_or_default())
        }
    };
    assert_eq!(found, expected, "{query}");
}

fn refuses(query: &str, expected: &str) {
    let found = match decoded(&format!("GET t?{query}")) {
        Ok(decoded) => show(&decoded),
        Err(malformed) => format!(
            "{} {} | {} | {}",
            malformed.code,
            malformed.message,
            malformed.details.unwrap_or_default(),
            malformed.hint.unwrap_or_default()
        ),
    };
    assert_eq!(found.trim_end_matches([' ', '|']), expected, "{query}");
}

/// A call of `f`, whose arguments are `a` and `id`: a query by GET, what follows a blank as the body of a POST.
fn calls(rows: bool, text: &str, expected: &str) {
    let (query, body) = text.split_once(' ').map_or((text, None), |(query, body)| (query, Some(body)));
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let call = Some(Called { function: "f", arguments: &["a", "id"], rows });
    let head = Head { call, ..Head::new(&method, "", query) };
    let found = match decode(&head, body.map(str::as_bytes), &limits()) {
        Ok(decoded) => show(&decoded),
        Err(malformed) => format!("{} {}", malformed.status, malformed.code),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn arguments_of_calls() {
    calls(true, "", "read f()");
    calls(true, "a=1&id=x%20y", "read f(a: '1', id: 'x y')");
    calls(true, "id=5&id=eq.7", "read f(id: '5') where id eq '7'");
    calls(true, "id=eq.7", "read f() where id eq '7'");
    calls(
        true,
        "a=1&name=not.in.(1,2)&b=fts(english).x&select=id",
        "read f(a: '1') select id where not name in ['1', '2'], b fts(english) 'x'",
    );
    calls(true, "a=1&nam=x", "read f(a: '1', nam: 'x')");
    calls(true, "a=1.5", "read f(a: '1.5')");
    calls(true, "a=1&a=2", "read f(a: '2')");
    calls(false, "a=eq.7&limit=3", "read f(a: 'eq.7') limit 3");
    calls(true, "order=id&or=(id.eq.1,id.eq.2)", "read f() where or(id eq '1', id eq '2') order id");
    calls(true, " ", "read f()");
    calls(true, " {}", "read f()");
    calls(true, "id=eq.7 {\"a\":[1],\"a\":{\"b\":null}}", "read f(a: {\"b\":null}) where id eq '7'");
    calls(true, " []", "400 PGRST102");
    calls(true, " {\"a\":1", "400 PGRST102");
    calls(true, "%00=1", "400 PGRST100");
}

#[test]
fn operators() {
    check("", "read t");
    check("id=eq.1", "read t where id eq '1'");
    check("id=neq.1&age=gt.2&age=gte.3", "read t where id neq '1', age gt '2', age gte '3'");
    check("a=lt.1&a=lte.2", "read t where a lt '1', a lte '2'");
    check("a=eq.", "read t where a eq ''");
    check("a=eq.%22x%22", "read t where a eq '\"x\"'");
    check("a=eq.1,2.3(4)", "read t where a eq '1,2.3(4)'");
    check("a=eq.a+b%2Bc%26d%3De", "read t where a eq 'a b+c&d=e'");
    check("a=eq.%D9%85%D9%88", "read t where a eq 'مو'");
    check("a=not.eq.1", "read t where not a eq '1'");
    check("a=like.*x*", "read t where a like '%x%'");
    check("a=ilike.x*&b=match.^a*&c=imatch.b", "read t where a ilike 'x%', b match '^a*', c imatch 'b'");
    check("a=is.null&b=not.is.NULL&c=is.not_null", "read t where a is null, not b is null, c is not_null");
    check("a=is.true&b=is.False&c=is.unknown", "read t where a is true, b is false, c is unknown");
    check("a=isdistinct.5&b=not.isdistinct.x", "read t where a isdistinct '5', not b isdistinct 'x'");
    check("a=cs.{x,y}&b=cd.[1,2]&c=ov.{1}", "read t where a cs '{x,y}', b cd '[1,2]', c ov '{1}'");
    check("a=cs.{%22k%22:%221.2%22}", "read t where a cs '{\"k\":\"1.2\"}'");
    check(
        "a=fts.fat&b=plfts(english).x&c=not.phfts(fr).y&d=wfts.z",
        "read t where a fts 'fat', b plfts(english) 'x', not c phfts(fr) 'y', d wfts 'z'",
    );
    check(
        "r=sl.(1,2)&r=sr.[1,2]&r=nxr.a&r=nxl.b&r=adj.c",
        "read t where r sl '(1,2)', r sr '[1,2]', r nxr 'a', r nxl 'b', r adj 'c'",
    );
    check("a=eq(any).{1,2}&b=neq(all).{x}", "read t where a eq(any) ['1', '2'], b neq(all) ['x']");
    check(
        "a=like(any).{O*,P*}&b=not.ilike(all).{%22a*,b%22,c}",
        "read t where a like(any) ['O%', 'P%'], not b ilike(all) ['a%,b', 'c']",
    );
    check("a=eq(any).{}&b=gt(any).{ 1 , 2 }", "read t where a eq(any) [], b gt(any) ['1', '2']");
}

#[test]
fn lists() {
    check("a=in.(1,2,3)", "read t where a in ['1', '2', '3']");
    check("a=in.()", "read t where a in []");
    check("a=in.(%22Hebdon,John%22,%22Williams,Mary%22)", "read t where a in ['Hebdon,John', 'Williams,Mary']");
    check(r#"a=in.("Quote:\"","Backslash:\\")"#, r#"read t where a in ['Quote:"', 'Backslash:\']"#);
    check(r#"a=in.("a"b,c)"#, r#"read t where a in ['"a"b', 'c']"#);
    check("a=not.in.(a b,é)", "read t where not a in ['a b', 'é']");
    check("a=in.(,)", "read t where a in ['', '']");
}

#[test]
fn names_and_json_paths() {
    check("Unit Price=lt.2", "read t where Unit Price lt '2'");
    check("%22a.b%22=eq.1", "read t where a.b eq '1'");
    check("%22limit%22=eq.1", "read t where limit eq '1'");
    check("first-name=eq.x&$a_1=eq.y", "read t where first-name eq 'x', $a_1 eq 'y'");
    check("تاريخ=eq.1", "read t where تاريخ eq '1'");
    check("data->a->>b=eq.1", "read t where data->a->>b eq '1'");
    check("data->0->>-1=eq.1", "read t where data->[0]->>[-1] eq '1'");
    check("data->%22a.b%22=eq.1&d->>x-y=eq.2", "read t where data->a.b eq '1', d->>x-y eq '2'");
    check("data->>1st=eq.1", "read t where data->>1st eq '1'");
}

#[test]
fn logic() {
    check("or=(a.eq.1,b.gt.2)", "read t where or(a eq '1', b gt '2')");
    check(
        "and=(a.eq.1,or(b.eq.2,not.and(c.eq.3,d.is.null)))",
        "read t where and(a eq '1', or(b eq '2', not and(c eq '3', d is null)))",
    );
    check("not.or=(a.eq.1,b.not.eq.2)", "read t where not or(a eq '1', not b eq '2')");
    check("not.and=(a.eq.1)", "read t where not and(a eq '1')");
    check("or=( a.eq.1 , b.eq.2 )", "read t where or(a eq '1 ', b eq '2 ')");
    check("or=(a.in.(1,2),b.in.(%22x,y%22))", "read t where or(a in ['1', '2'], b in ['x,y'])");
    check("or=(a.eq.%22x,(y)%22,b.eq.%22q%5C%22%22)", "read t where or(a eq 'x,(y)', b eq 'q\"')");
    check("or=(a.cs.{1,2},b.cs.{%22k%22:{%22l%22:1}})", "read t where or(a cs '{1,2}', b cs '{\"k\":{\"l\":1}}')");
    check("or=(a.eq(any).{1,2},b.like(all).{x*,y})", "read t where or(a eq(any) ['1', '2'], b like(all) ['x%', 'y'])");
    check("or=(d->a->>b.eq.1,%22x.y%22.eq.2)", "read t where or(d->a->>b eq '1', x.y eq '2')");
    check("and=(not.eq.1,orders.eq.2,and.eq.3)", "read t where and(not eq '1', orders eq '2', and eq '3')");
    check("or=(a.fts(english).x,b.is.not_null)", "read t where or(a fts(english) 'x', b is not_null)");
}

#[test]
fn select() {
    check("select=*", "read t");
    check("select=", "read t select ");
    check("select=id,name", "read t select id, name");
    check("select= id , full name ", "read t select id, full name");
    check("select=a:b,c::text,d:e::int", "read t select a:b, c::text, d:e::int");
    check("select=data->a->>b,x:data->0", "read t select data->a->>b, x:data->[0]");
    check("select=data->a::int,n:data->>b::text", "read t select data->a::int, n:data->>b::text");
    check("select=*,users(*)", "read t select *, users(*)");
    check("select=*,author:users!author_id!inner(name)", "read t select *, author:users!author_id!inner(name)");
    check("select=users!inner!fk(id),tags!left()", "read t select users!fk!inner(id), tags()");
    check("select=id,...users(name,...teams!inner(title))", "read t select id, ...users(name, ...teams!inner(title))");
    check("select=a(b(c(d)))", "read t select a(b(c(d)))");
    check("select=amount.sum(),n:id.count(),x.avg()::int", "read t select amount.Sum, n:id.Count, x.Average::int");
    check("select=amount::int.max()::text,data->a.min()", "read t select amount::int.Maximum::text, data->a.Minimum");
    check("select=count(),n:count()::int,count", "read t select count(), n:count()::int, count");
    check("select=%22a,b%22,x:%22c:d%22", "read t select a,b, x:c:d");
}

#[test]
fn order_and_pages() {
    check("order=a", "read t order a");
    check("order=a.desc.nullslast,b.asc,c.nullsfirst", "read t order a desc nullslast, b, c nullsfirst");
    check("order=rel(col).desc,data->a->>b.asc,rel(d->x)", "read t order rel(col) desc, data->a->>b, rel(d->x)");
    check("order=data->0.desc", "read t order data->[0] desc");
    check("limit=20&offset=40", "read t limit 20 offset 40");
    check("limit=0&offset=0", "read t limit 0");
    check("after=Abc-_1&order=id", "read t order id after 'Abc-_1'");
    check("apikey=xyz", "read t");
    check("on_conflict=a,b&columns=%22a%22,b", "read t on_conflict [a b] columns [a b]");
}

#[test]
fn modifiers_of_embeds() {
    check("rel.col=eq.1", "read t embed rel{where col eq '1'}");
    check("rel.sub.col=not.eq.1&rel.sub.order=x.desc", "read t embed rel.sub{where not col eq '1' order x desc}");
    check(
        "rel.or=(a.eq.1,b.eq.2)&rel.not.and=(c.eq.3)",
        "read t embed rel{where or(a eq '1', b eq '2'), not and(c eq '3')}",
    );
    check("rel.limit=5&rel.offset=10", "read t embed rel{limit 5 offset 10}");
    check("rel.data->>x=eq.1", "read t embed rel{where data->>x eq '1'}");
    check("a.x=eq.1&b.y=eq.2&a.z=eq.3", "read t embed a{where x eq '1', z eq '3'} embed b{where y eq '2'}");
    check(
        "order.paid=is.true&order.order=x&order.limit=5&%22order%22=not.is.null&order=order(x)",
        "read t where not order is null order order(x) embed order{where paid is true order x limit 5}",
    );
    check("rel=is.null&%22odd.name%22.x=eq.1", "read t where rel is null embed odd.name{where x eq '1'}");
}

#[test]
fn refusals() {
    let example = "A condition reads column=operator.value, for example id=eq.1.";
    refuses(
        "id",
        "PGRST100 The parameter \"id\" has no value |  | A condition reads column=operator.value, for example id=eq.1.",
    );
    refuses(
        "id=1",
        &format!(
            "PGRST100 \"failed to parse filter (1)\" (line 1, column 1) | unexpected \"1\" expecting \"not\" or operator (eq, gt, ...) | {example}"
        ),
    );
    refuses(
        "id=noop.0",
        &format!(
            "PGRST100 \"failed to parse filter (noop.0)\" (line 1, column 1) | unexpected \"n\" expecting \"not\" or operator (eq, gt, ...) | {example}"
        ),
    );
    refuses(
        "id=not.gtr.0",
        "PGRST100 \"failed to parse filter (not.gtr.0)\" (line 1, column 5) | unexpected \"g\" expecting operator (eq, gt, ...) | Did you mean \"gt\"?",
    );
    refuses(
        "id=eq",
        &format!(
            "PGRST100 \"failed to parse filter (eq)\" (line 1, column 1) | unexpected \"e\" expecting \"not\" or operator (eq, gt, ...) | {example}"
        ),
    );
    refuses(
        "id=in.1,2",
        "PGRST100 \"failed to parse filter (in.1,2)\" (line 1, column 4) | unexpected \"1\" expecting \"(\"",
    );
    refuses(
        "id=in.(1,2",
        "PGRST100 \"failed to parse filter (in.(1,2)\" (line 1, column 8) | unexpected end of input expecting \",\" or \")\"",
    );
    refuses(
        "id=in.(1)x",
        "PGRST100 \"failed to parse filter (in.(1)x)\" (line 1, column 7) | unexpected \"x\" expecting end of input",
    );
    refuses(
        "id=is.nul",
        "PGRST100 \"failed to parse filter (is.nul)\" (line 1, column 4) | unexpected \"n\" expecting isVal: (null, not_null, true, false, unknown)",
    );
    refuses(
        "id=eq(any).1",
        "PGRST100 \"failed to parse filter (eq(any).1)\" (line 1, column 9) | unexpected \"1\" expecting \"{\": the operator compares with a list like {a,b}",
    );
    refuses(
        "=eq.1",
        "PGRST100 \"failed to parse tree path ()\" (line 1, column 1) | unexpected end of input expecting field name (* or [a..z0..9_$])",
    );
    refuses(
        "a.=eq.1",
        "PGRST100 \"failed to parse tree path (a.)\" (line 1, column 3) | unexpected end of input expecting field name (* or [a..z0..9_$])",
    );
    refuses(
        "a->>b->c=eq.1",
        "PGRST100 \"failed to parse tree path (a->>b->c)\" (line 1, column 6) | unexpected \"-\" expecting nothing after ->>, which gives text",
    );
    refuses(
        "%22a=eq.1",
        "PGRST100 \"failed to parse tree path (\"a)\" (line 1, column 3) | unexpected end of input expecting closing quote (\")",
    );
    refuses(
        "or=()",
        "PGRST100 \"failed to parse logic tree (())\" (line 1, column 2) | unexpected \")\" expecting field name (* or [a..z0..9_$])",
    );
    refuses(
        "or=(a.eq.1",
        "PGRST100 \"failed to parse logic tree ((a.eq.1)\" (line 1, column 8) | unexpected end of input expecting \",\" or \")\"",
    );
    refuses(
        "or=(xor(a.eq.1,b.eq.2))",
        "PGRST100 \"failed to parse logic tree ((xor(a.eq.1,b.eq.2)))\" (line 1, column 5) | unexpected \"(\" expecting logic operator (and, or)",
    );
    refuses(
        "and=a.eq.1",
        "PGRST100 \"failed to parse logic tree (a.eq.1)\" (line 1, column 1) | unexpected \"a\" expecting \"(\"",
    );
    refuses(
        "select=a,",
        "PGRST100 \"failed to parse select parameter (a,)\" (line 1, column 3) | unexpected end of input expecting field name (* or [a..z0..9_$])",
    );
    refuses(
        "select=a(b",
        "PGRST100 \"failed to parse select parameter (a(b)\" (line 1, column 4) | unexpected end of input expecting \")\" or \",\"",
    );
    refuses(
        "select=a)",
        "PGRST100 \"failed to parse select parameter (a))\" (line 1, column 2) | unexpected \")\" expecting \",\" or end of input",
    );
    refuses(
        "select=name!hint",
        "PGRST100 \"failed to parse select parameter (name!hint)\" (line 1, column 10) | unexpected end of input expecting \"(\"",
    );
    refuses(
        "select=a.median()",
        "PGRST100 \"failed to parse select parameter (a.median())\" (line 1, column 3) | unexpected \"m\" expecting \"sum()\", \"avg()\", \"count()\", \"max()\" or \"min()\"",
    );
    refuses(
        "select=a::",
        "PGRST100 \"failed to parse select parameter (a::)\" (line 1, column 4) | unexpected end of input expecting letter or digit",
    );
    refuses(
        "select=x:...rel(*)",
        "PGRST100 \"failed to parse select parameter (x:...rel(*))\" (line 1, column 3) | unexpected \".\" expecting field name (* or [a..z0..9_$])",
    );
    refuses("select=a&select=b", "PGRST100 The parameter \"select\" is given twice");
    refuses(
        "order=a.up",
        "PGRST100 \"failed to parse order (a.up)\" (line 1, column 3) | unexpected \"u\" expecting \"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"",
    );
    refuses(
        "order=a.desc.last",
        "PGRST100 \"failed to parse order (a.desc.last)\" (line 1, column 8) | unexpected \"l\" expecting \"nullsfirst\" or \"nullslast\"",
    );
    refuses(
        "order=",
        "PGRST100 \"failed to parse order ()\" (line 1, column 1) | unexpected end of input expecting field name (* or [a..z0..9_$])",
    );
    refuses("limit=x", "PGRST100 limit is a whole number of rows, not \"x\"");
    refuses("limit=-1", "PGRST103 Requested range not satisfiable | Limit should be greater than or equal to zero.");
    refuses("offset=-1", "PGRST103 Requested range not satisfiable | Offset should be greater than or equal to zero.");
    refuses(
        "a=eq.%ff",
        "PGRST100 The query string is not valid UTF-8 | Byte 3 of the decoded parameter begins no character",
    );
    refuses("a=eq.%00", "PGRST100 The query string contains U+0000, which no text may contain");
}

#[test]
fn limits_hold() {
    let many = |count: usize, part: &str| vec![part; count].join(",");
    let code =
        |query: &str| decoded(&format!("GET t?{query}")).map(|_| "fine").unwrap_or_else(|malformed| malformed.code);
    assert_eq!(code(&format!("a=in.({})", many(1_000, "1"))), "fine");
    assert_eq!(code(&format!("a=in.({})", many(1_001, "1"))), "UG400");
    assert_eq!(code(&format!("a=eq(any).{{{}}}", many(1_001, "1"))), "UG400");
    assert_eq!(code(&format!("or=({})", many(200, "a.eq.1"))), "fine");
    assert_eq!(code(&format!("or=({})", many(201, "a.eq.1"))), "UG400");
    assert_eq!(code(&many(201, "a=eq.1").replace(',', "&")), "UG400");
    assert_eq!(code(&format!("select={}", many(20, "a(b)"))), "fine");
    assert_eq!(code(&format!("select={}", many(21, "a(b)"))), "UG400");
    assert_eq!(code(&format!("select={}x{}", "a(".repeat(6), ")".repeat(6))), "fine");
    assert_eq!(code(&format!("select={}x{}", "a(".repeat(7), ")".repeat(7))), "UG400");
    assert_eq!(code(&format!("select={}", "a(".repeat(5_000))), "UG400");
    assert_eq!(code(&format!("select={}", many(1_001, "a"))), "UG400");
    assert_eq!(code(&format!("or={}a.eq.1{}", "(and".repeat(5_00), ")".repeat(5_00))), "UG400");
    assert_eq!(code(&format!("order={}", many(1_001, "a"))), "UG400");
    assert_eq!(code(&format!("a{}=eq.1", "->b".repeat(33))), "UG400");
    assert_eq!(code(&format!("{}x=eq.1", "a.".repeat(7))), "UG400");
    assert_eq!(code(&format!("a=eq.{}", "x".repeat(17_000))), "UG414");
}

#[test]
fn methods_and_keys() {
    let check = |text: &str, expected: &str| {
        let found = match decoded(text) {
            Ok(decoded) => show(&decoded),
            Err(malformed) => format!("{} {} {}", malformed.status, malformed.code, malformed.message),
        };
        assert_eq!(found, expected, "{text}");
    };
    check("HEAD t", "read t");
    check("POST t", "create t body {}");
    check("PATCH t?id=eq.1", "update t where id eq '1' body {}");
    check("DELETE t?id=eq.1", "delete t where id eq '1'");
    check("GET t/17", "read t key ['17']");
    check("PUT t/a,b", "replace t key ['a', 'b'] body {}");
    check(r#"GET t/"a,b",7"#, "read t key ['a,b', '7']");
    check(r#"GET t/"a\"b""#, r#"read t key ['a"b']"#);
    check("PUT t/1?limit=1", "400 PGRST114 limit/offset querystring parameters are not allowed for PUT");
    check("GET t/", "404 PGRST125 The key in the path is empty");
    check("POST t/17", "405 PGRST117 Unsupported HTTP method: POST");
    check("TRACE t", "405 PGRST117 Unsupported HTTP method: TRACE");
}

#[test]
fn range_header() {
    let check = |query: &str, range: &str, unit: Option<&str>, expected: &str| {
        let head = Head { range: Some(range), range_unit: unit, ..Head::new(&Method::GET, "t", query) };
        let found = match decode(&head, None, &limits()) {
            Ok(decoded) => show(&decoded),
            Err(malformed) => format!("{} {}", malformed.status, malformed.details.unwrap_or_default()),
        };
        assert_eq!(found, expected, "{query} {range}");
    };
    check("", "0-19", None, "read t limit 20");
    check("", "10-", Some("items"), "read t offset 10");
    check("", "10-19", Some("items"), "read t limit 10 offset 10");
    check("limit=5", "0-19", None, "read t limit 5");
    check("limit=50&offset=5", "0-19", None, "read t limit 15 offset 5");
    check("limit=5", "10-19", None, "read t limit 0 offset 10");
    check(
        "",
        "10-5",
        None,
        "416 The lower boundary must be lower than or equal to the upper boundary in the Range header.",
    );
    check("", "0-19", Some("bytes"), "read t");
    check("", "bytes=0-5", None, "read t");
    check("", "-5", None, "read t");
    check("", "99999999999999999999-", None, "read t");
}

#[test]
fn headers_decide_the_rest() {
    let head = Head {
        call: None,
        accept: Some("application/vnd.pgrst.object+json"),
        prefer: &[
            "return=representation,resolution=merge-duplicates",
            "missing=default, handling=strict, max-affected=3, tx=rollback, count=exact",
        ],
        ..Head::new(&Method::POST, "t", "")
    };
    let decoded = decode(&head, Some(b"[]"), &limits()).unwrap();
    assert_eq!(decoded.request.demands, Demands { singular: true, max_affected: Some(3), rollback: true });
    assert_eq!(show(&decoded), "create t returning Representation count Exact MergeDuplicates missing=default body []");
    let lenient = Head { prefer: &["max-affected=3", "return=representation"], ..Head::new(&Method::GET, "t", "") };
    let decoded = decode(&lenient, None, &limits()).unwrap();
    assert_eq!(decoded.request.demands.max_affected, None);
    assert_eq!(show(&decoded), "read t");
}

#[test]
fn the_same_question_has_the_same_shape() {
    let shape = |query: &str| decoded(&format!("GET t?{query}")).unwrap().request.shape;
    assert_eq!(shape("id=eq.1&limit=2"), shape("id=eq.2222&limit=30"));
    assert_eq!(shape("select=*&id=eq.1"), shape("id=eq.1"));
    assert_ne!(shape("id=eq.1"), shape("id=neq.1"));
    assert_eq!(shape("a=in.(1,2)"), shape("a=in.(3)"));
}

mod bodies;
mod hostile;
mod page;
mod speed;
