//! Plans' trees and rows in, bodies out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use undergird_model::expr::RowVar;
use undergird_model::{CollectionId, Decimal, Expr};
use undergird_plan::Cell;
use undergird_plan::shape::{Action, Member, ReadNode, RowVersion, Write};
use uuid::Uuid;

struct Cells<'a>(&'a [Cell<'a>]);

impl RowRef for Cells<'_> {
    fn cell(&self, position: usize) -> Cell<'_> {
        self.0.get(position).copied().unwrap_or(Cell::Null)
    }
}

fn node(parent: Option<Parent>, members: Vec<Member>) -> ReadNode {
    ReadNode {
        source: None,
        parent,
        collection: CollectionId(0),
        row: RowVar::THIS,
        joins: Vec::new(),
        columns: Vec::new(),
        filter: Expr::bool(true),
        group_by: None,
        order: Vec::new(),
        limit: None,
        offset: None,
        object: Object { members, bare: false },
        cursor: Vec::new(),
        version: None,
    }
}

fn under(node: usize, columns: &[usize]) -> Option<Parent> {
    Some(Parent { node: Some(node), columns: columns.to_vec() })
}

fn member(name: &str, output: Output) -> Member {
    Member { name: name.into(), prefix: format!("{}:", serde_json::to_string(name).unwrap()), output }
}

fn column(name: &str, at: usize) -> Member {
    member(name, Output::Column(at))
}

fn read(nodes: Vec<ReadNode>) -> Shape {
    Shape::Read(Read { nodes, count: None, by_key: false })
}

type Rows<'a> = &'a [(usize, &'a [Cell<'a>])];

fn run(options: Options, shape: &Shape, written: Option<&[Vec<Value>]>, rows: Rows<'_>) -> Result<Encoded, Overflow> {
    let mut encoder = Encoder::new(options);
    encoder.start(Arc::new(shape.clone()));
    if let Some(written) = written {
        encoder.written(written);
    }
    for (node, cells) in rows {
        encoder.row(*node, &Cells(cells))?;
    }
    encoder.finish()
}

fn check(media: Media, shape: &Shape, rows: Rows<'_>, expected: &str) {
    let encoded = run(Options::new(media), shape, None, rows).unwrap();
    assert_eq!(std::str::from_utf8(&encoded.bytes).unwrap(), expected);
}

const STRIPPED: Media = Media::Array { nulls_stripped: true };
const OBJECT: Media = Media::Object { nulls_stripped: false };

#[test]
fn every_kind_of_cell() {
    let members = (0..13).map(|at| column(&format!("c{at}"), at)).collect();
    let shape = read(vec![node(None, members)]);
    let cells = [
        Cell::Null,
        Cell::Bool(true),
        Cell::Int(i64::MIN),
        Cell::Float(1.5),
        Cell::Decimal(Decimal { unscaled: -1205, scale: 2 }),
        Cell::Text("é\"\n"),
        Cell::Uuid(Uuid::from_u128(1)),
        Cell::Timestamp(0),
        Cell::Date(0),
        Cell::Time(1_500_000),
        Cell::Json("{\"a\":null}"),
        Cell::Bytes(b"\x00\xff"),
        Cell::List("[1,2]"),
    ];
    check(
        Media::JSON,
        &shape,
        &[(0, &cells)],
        r#"[{"c0":null,"c1":true,"c2":-9223372036854775808,"c3":1.5,"c4":-12.05,"c5":"é\"\n","c6":"00000000-0000-0000-0000-000000000001","c7":"1970-01-01T00:00:00+00:00","c8":"1970-01-01","c9":"00:00:01.5","c10":{"a":null},"c11":"AP8=","c12":[1,2]}]"#,
    );
    check(
        STRIPPED,
        &shape,
        &[(0, &cells[..2]), (0, &[Cell::Null; 13]), (0, &cells[10..])],
        r#"[{"c1":true},{},{"c0":{},"c1":"AP8=","c2":[1,2]}]"#,
    );
    check(
        Media::Csv,
        &shape,
        &[(0, &cells)],
        "c0,c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12\r\n,true,-9223372036854775808,1.5,-12.05,\"é\"\"\n\",00000000-0000-0000-0000-000000000001,1970-01-01T00:00:00+00:00,1970-01-01,00:00:01.5,\"{\"\"a\"\":null}\",AP8=,\"[1,2]\"\r\n",
    );
}

#[test]
fn rows_of_one_node() {
    let shape = read(vec![node(None, vec![column("id", 0)])]);
    let (one, two): (&[Cell], &[Cell]) = (&[Cell::Int(1)], &[Cell::Int(2)]);
    check(Media::JSON, &shape, &[], "[]");
    check(Media::JSON, &shape, &[(0, one)], r#"[{"id":1}]"#);
    check(Media::JSON, &shape, &[(0, one), (0, two)], r#"[{"id":1},{"id":2}]"#);
    check(OBJECT, &shape, &[(0, one)], r#"{"id":1}"#);
    check(Media::Csv, &shape, &[], "id\r\n");
    check(Media::Csv, &shape, &[(0, &[Cell::Text("")]), (0, &[Cell::Null])], "id\r\n\"\"\r\n\r\n");
    check(Media::JSON, &read(vec![node(None, Vec::new())]), &[(0, &[]), (0, &[])], "[{},{}]");
}

#[test]
fn joined_rows_are_objects_or_null() {
    let inner = Object { members: vec![column("name", 2), column("n", 3)], bare: false };
    let author = member("author", Output::One { present: 1, object: inner });
    let shape = read(vec![node(None, vec![column("id", 0), author])]);
    let rows: Rows = &[(0, &[Cell::Int(1), Cell::Int(7), Cell::Text("A"), Cell::Null]), (0, &[Cell::Int(2)])];
    check(Media::JSON, &shape, rows, r#"[{"id":1,"author":{"name":"A","n":null}},{"id":2,"author":null}]"#);
    check(STRIPPED, &shape, rows, r#"[{"id":1,"author":{"name":"A"}},{"id":2}]"#);
    check(Media::Csv, &shape, rows, "id,author\r\n1,\"{\"\"name\"\":\"\"A\"\",\"\"n\"\":null}\"\r\n2,\r\n");
}

/// posts with comments, these with likes; the comments' text plucked beside.
fn tree() -> Shape {
    read(vec![
        node(None, vec![column("id", 0), member("comments", Output::Many { node: 1 }), column("title", 1)]),
        node(under(0, &[0]), vec![column("text", 2), member("likes", Output::Many { node: 2 })]),
        node(under(1, &[1]), vec![column("by", 1)]),
    ])
}

#[test]
fn children_go_where_they_belong_in_order_of_arrival() {
    let rows: Rows = &[
        (0, &[Cell::Int(1), Cell::Text("one")]),
        (0, &[Cell::Int(2), Cell::Text("two")]),
        (0, &[Cell::Int(3), Cell::Text("three")]),
        (1, &[Cell::Int(3), Cell::Int(30), Cell::Text("c30")]),
        (1, &[Cell::Int(1), Cell::Int(11), Cell::Text("c11")]),
        (1, &[Cell::Int(1), Cell::Int(10), Cell::Text("c10")]),
        (1, &[Cell::Int(9), Cell::Int(90), Cell::Text("nobody's")]),
        (2, &[Cell::Int(10), Cell::Text("x")]),
        (2, &[Cell::Int(30), Cell::Text("y")]),
        (2, &[Cell::Int(10), Cell::Text("z")]),
    ];
    check(
        Media::JSON,
        &tree(),
        rows,
        r#"[{"id":1,"comments":[{"text":"c11","likes":[]},{"text":"c10","likes":[{"by":"x"},{"by":"z"}]}],"title":"one"},{"id":2,"comments":[],"title":"two"},{"id":3,"comments":[{"text":"c30","likes":[{"by":"y"}]}],"title":"three"}]"#,
    );
    check(OBJECT, &tree(), &rows[1..2], r#"{"id":2,"comments":[],"title":"two"}"#);
    check(
        Media::Csv,
        &tree(),
        &[rows[0], rows[4]],
        "id,comments,title\r\n1,\"[{\"\"text\"\":\"\"c11\"\",\"\"likes\"\":[]}]\",one\r\n",
    );
    check(Media::JSON, &tree(), &[], "[]");
}

#[test]
fn parents_with_the_same_link_share_their_children() {
    let shape = read(vec![
        node(None, vec![member("team", Output::Only { node: 1 }), column("id", 1)]),
        node(under(0, &[0]), vec![column("name", 1)]),
    ]);
    let rows: Rows = &[
        (0, &[Cell::Int(5), Cell::Int(1)]),
        (0, &[Cell::Int(5), Cell::Int(2)]),
        (0, &[Cell::Null, Cell::Int(3)]),
        (1, &[Cell::Int(5), Cell::Text("T")]),
    ];
    check(
        Media::JSON,
        &shape,
        rows,
        r#"[{"team":{"name":"T"},"id":1},{"team":{"name":"T"},"id":2},{"team":null,"id":3}]"#,
    );
    check(STRIPPED, &shape, rows, r#"[{"team":{"name":"T"},"id":1},{"team":{"name":"T"},"id":2},{"id":3}]"#);
    check(
        Media::Csv,
        &shape,
        rows,
        "team,id\r\n\"{\"\"name\"\":\"\"T\"\"}\",1\r\n\"{\"\"name\"\":\"\"T\"\"}\",2\r\n,3\r\n",
    );
}

#[test]
fn what_is_stripped_leaves_no_comma_behind() {
    let only = |name: &str, node| member(name, Output::Only { node });
    let shape = read(vec![
        node(None, vec![only("a", 1), only("b", 2), column("c", 0), only("d", 1)]),
        node(under(0, &[0]), vec![column("x", 1)]),
        node(under(0, &[1]), vec![column("y", 1)]),
    ]);
    check(STRIPPED, &shape, &[(0, &[Cell::Int(1), Cell::Int(2)])], r#"[{"c":1}]"#);
    check(STRIPPED, &shape, &[(0, &[Cell::Null, Cell::Int(2)])], "[{}]");
    let b: (usize, &[Cell]) = (2, &[Cell::Int(2), Cell::Bool(true)]);
    check(STRIPPED, &shape, &[(0, &[Cell::Null, Cell::Int(2)]), b], r#"[{"b":{"y":true}}]"#);
    let a: (usize, &[Cell]) = (1, &[Cell::Int(1), Cell::Bool(true)]);
    check(STRIPPED, &shape, &[(0, &[Cell::Int(1), Cell::Int(2)]), a], r#"[{"a":{"x":true},"c":1,"d":{"x":true}}]"#);
}

#[test]
fn plucked_members_are_arrays() {
    let pluck = |name: &str, member_at| member(name, Output::Pluck { node: 1, member: member_at });
    let shape = read(vec![
        node(None, vec![column("id", 0), pluck("texts", 0), pluck("likes", 1)]),
        node(under(0, &[0]), vec![column("text", 1), member("likes", Output::Many { node: 2 })]),
        node(under(1, &[1]), vec![column("by", 1)]),
    ]);
    let rows: Rows = &[
        (0, &[Cell::Int(1)]),
        (0, &[Cell::Int(2)]),
        (1, &[Cell::Int(1), Cell::Text("a")]),
        (1, &[Cell::Int(1), Cell::Null]),
        (2, &[Cell::Text("a"), Cell::Int(8)]),
    ];
    check(
        Media::JSON,
        &shape,
        rows,
        r#"[{"id":1,"texts":["a",null],"likes":[[{"by":8}],[]]},{"id":2,"texts":[],"likes":[]}]"#,
    );
    check(Media::Csv, &shape, &rows[..4], "id,texts,likes\r\n1,\"[\"\"a\"\",null]\",\"[[],[]]\"\r\n2,[],[]\r\n");
}

#[test]
fn a_representation_comes_in_the_order_of_what_was_written() {
    let root = node(Some(Parent { node: None, columns: vec![0] }), vec![column("id", 0), column("v", 1)]);
    let returning = Some(Read { nodes: vec![root], count: None, by_key: false });
    let action = Action::Delete { filter: Expr::bool(true), guards: Vec::new() };
    let shape = Shape::Write(Write { collection: CollectionId(0), inputs: Vec::new(), action, returning });
    let rows: Rows = &[(0, &[Cell::Int(1), Cell::Text("a")]), (0, &[Cell::Int(2), Cell::Text("b")])];
    let written = [vec![Value::Int(2)], vec![Value::Int(1)], vec![Value::Int(2)]];
    for media in [Media::JSON, Media::Csv] {
        let encoded = run(Options::new(media), &shape, Some(&written), rows).unwrap();
        let expected = match media {
            Media::Csv => "id,v\r\n2,b\r\n1,a\r\n",
            _ => r#"[{"id":2,"v":"b"},{"id":1,"v":"a"}]"#,
        };
        assert_eq!(std::str::from_utf8(&encoded.bytes).unwrap(), expected);
        assert_eq!(encoded.rows, 2);
    }
    check(Media::JSON, &shape, rows, r#"[{"id":1,"v":"a"},{"id":2,"v":"b"}]"#);
}

#[test]
fn headers_get_what_they_need() {
    let mut root = node(None, vec![column("id", 0)]);
    root.cursor = vec![1, 0];
    root.version = Some(RowVersion {
        object: Object { members: vec![column("id", 0), column("at", 1)], bare: false },
        is_shown: false,
    });
    let shape = read(vec![root]);
    let rows: Rows = &[(0, &[Cell::Int(1), Cell::Timestamp(5)]), (0, &[Cell::Int(2), Cell::Null])];
    let mut encoder = Encoder::new(Options { cursor_at: Some(2), ..Options::new(Media::JSON) });
    // A statement that had to be run anew starts from nothing.
    for _ in 0..2 {
        encoder.start(Arc::new(shape.clone()));
        encoder.total(17);
        for (node, cells) in rows {
            encoder.row(*node, &Cells(cells)).unwrap();
        }
    }
    let encoded = encoder.finish().unwrap();
    assert_eq!(encoded.cursor, Some(vec![Value::Null, Value::Int(2)]));
    assert_eq!((encoded.rows, encoded.total), (2, Some(17)));
    assert_eq!(encoded.version, Some(Version::of(br#"{"id":1,"at":"1970-01-01T00:00:00.000005+00:00"}"#)));
    assert_eq!(encoded.bytes, br#"[{"id":1},{"id":2}]"#[..]);
}

#[test]
fn a_version_is_of_the_row_whatever_is_shown_of_it() {
    let whole = Object { members: vec![column("id", 0), column("v", 1)], bare: false };
    let rows: Rows = &[(0, &[Cell::Int(1), Cell::Null]), (0, &[Cell::Int(2), Cell::Null])];
    let version = |shown: &[Member], media: Media| {
        let mut root = node(None, shown.to_vec());
        root.version = Some(RowVersion { is_shown: root.object == whole, object: whole.clone() });
        run(Options::new(media), &read(vec![root]), None, rows).unwrap().version.unwrap()
    };
    let expected = Version::of(br#"{"id":1,"v":null}"#);
    for nulls_stripped in [false, true] {
        for media in [Media::Array { nulls_stripped }, Media::Object { nulls_stripped }, Media::Csv] {
            assert_eq!(version(&whole.members, media), expected, "{media:?}");
            assert_eq!(version(&whole.members[1..], media), expected, "{media:?}, some of it");
        }
    }
}

#[test]
fn too_large_is_an_overflow() {
    let at_most = |bytes_max| Options { bytes_max, ..Options::new(Media::JSON) };
    let options = at_most(100);
    let shape = read(vec![node(None, vec![column("t", 0)])]);
    let long = "x".repeat(60);
    let row: (usize, &[Cell]) = (0, &[Cell::Text(&long)]);
    assert!(run(options, &shape, None, &[row]).is_ok());
    assert_eq!(run(options, &shape, None, &[row, row]), Err(Overflow));
    // Each buffer is small, but the child's rows belong to every parent.
    let shared =
        read(vec![node(None, vec![member("a", Output::Many { node: 1 })]), node(under(0, &[0]), vec![column("t", 1)])]);
    let parent: (usize, &[Cell]) = (0, &[Cell::Int(1)]);
    let child: (usize, &[Cell]) = (1, &[Cell::Int(1), Cell::Text(&long)]);
    let rows = [vec![parent; 20], vec![child]].concat();
    let length = run(Options::new(Media::JSON), &shared, None, &rows).unwrap().bytes.len();
    assert!(run(at_most(length), &shared, None, &rows).is_ok());
    assert!(run(at_most(length - 1), &shared, None, &rows).is_err());
    // The buffers together count, and what it takes to find the rows in them.
    assert!(run(at_most(length), &shared, None, &vec![parent; 100]).is_err());
}
