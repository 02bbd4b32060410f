//! `limit`, `offset` and the `Range` header: one window on the rows.

use super::{Malformed, scan::excerpt};
use undergird_model::Value;
use undergird_plan::Request;
use undergird_plan::request::Operand;

/// The window that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub offset: Option<u64>,
    pub limit: Option<u64>,
}

impl Page {
    /// Writes it into the request.
    pub fn put(self, request: &mut Request) {
        // Both come from `number`, which lets no number above i64::MAX through.
        let slot = |request: &mut Request, number: u64| request.slot(Operand::Value(Value::Int(number as i64)));
        request.shape.limit = self.limit.map(|limit| slot(request, limit));
        request.shape.offset = self.offset.filter(|offset| *offset > 0).map(|offset| slot(request, offset));
    }
}

/// A number of rows.
pub(super) fn number(name: &str, text: &str) -> Result<u64, Malformed> {
    match text.trim().parse::<i64>() {
        Ok(number) if number >= 0 => Ok(number as u64),
        Ok(_) if name == "limit" => Err(unsatisfiable("Limit should be greater than or equal to zero.")),
        Ok(_) => Err(unsatisfiable("Offset should be greater than or equal to zero.")),
        Err(_) => {
            Err(Malformed::new("PGRST100", 400, format!("{name} is a whole number of rows, not \"{}\"", excerpt(text))))
        }
    }
}

/// `0-19`, `10-` within the window of the query. What is no range of items is no mistake: RFC 9110 has a server ignore it.
pub(super) fn intersect(page: Page, header: &str) -> Result<Page, Malformed> {
    let Some((low, high)) = header.trim().split_once('-') else { return Ok(page) };
    let digits =
        |text: &str| text.parse::<u64>().ok().filter(|number| *number < i64::MAX as u64 && !text.starts_with('+'));
    let Some(low) = digits(low) else { return Ok(page) };
    let high = match high {
        "" => None,
        high => match digits(high) {
            Some(high) => Some(high),
            None => return Ok(page),
        },
    };
    if high.is_some_and(|high| high < low) {
        return Err(unsatisfiable(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
        ));
    }
    let offset = page.offset.unwrap_or(0).max(low);
    let end_of_page = page.limit.map(|limit| page.offset.unwrap_or(0).saturating_add(limit));
    let end = match (end_of_page, high.map(|high| high + 1)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Ok(Page { offset: Some(offset), limit: end.map(|end| end.saturating_sub(offset)) })
}

fn unsatisfiable(details: &str) -> Malformed {
    Malformed::new("PGRST103", 416, "Requested range not satisfiable").with_details(details)
}
