//! `order=a.desc.nullslast,relation(column).asc,json->>x`.

use super::scan::{Scanner, What};
use super::{ITEMS_MAX, Malformed};
use undergird_plan::request::{ColumnPath, OrderItem};

pub(super) fn read(text: &str) -> Result<Vec<OrderItem>, Malformed> {
    let mut scanner = Scanner::new(text, What::Order);
    let mut items = Vec::with_capacity(1);
    loop {
        if items.len() == ITEMS_MAX {
            return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "terms of order"));
        }
        items.push(item(&mut scanner)?);
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect_done("delimiter (.), \",\" or end of input")?;
    Ok(items)
}

fn item(scanner: &mut Scanner<'_>) -> Result<OrderItem, Malformed> {
    let name = scanner.name()?.text.into_owned();
    let (relation, column) = if scanner.take(b'(') {
        let column = scanner.column()?;
        scanner.expect(b')', "\")\"")?;
        (Some(name), column)
    } else {
        (None, ColumnPath { name, steps: scanner.json_steps()? })
    };
    let mut item = OrderItem { relation, column, descending: false, nulls_first: None };
    let mut directed = false;
    while scanner.take(b'.') {
        let word = scanner.rest();
        let end = word.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(word.len());
        match &word[..end] {
            "asc" if !directed => {}
            "desc" if !directed => item.descending = true,
            "nullsfirst" if item.nulls_first.is_none() => item.nulls_first = Some(true),
            "nullslast" if item.nulls_first.is_none() => item.nulls_first = Some(false),
            _ if directed => return Err(scanner.unexpected("\"nullsfirst\" or \"nullslast\"")),
            _ => return Err(scanner.unexpected("\"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"")),
        }
        scanner.take_word(&word[..end]);
        // After where the nulls go nothing more can come.
        directed = true;
        if item.nulls_first.is_some() {
            break;
        }
    }
    scanner.skip_blanks();
    Ok(item)
}
