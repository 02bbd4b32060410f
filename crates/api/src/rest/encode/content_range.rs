//! `Content-Range` and the status that goes with it, by PostgREST's rules (reference: pagination and count).

use crate::rest::decode::Malformed;

/// `0-19/*`, `*/0`, `20-39/3573458`.
pub fn content_range(offset: u64, rows: u64, total: Option<u64>) -> String {
    let mut out = String::with_capacity(24);
    let number = |out: &mut String, number: u64| out.push_str(itoa::Buffer::new().format(number));
    if rows == 0 {
        out.push('*');
    } else {
        number(&mut out, offset);
        out.push('-');
        number(&mut out, offset.saturating_add(rows - 1));
    }
    out.push('/');
    match total {
        Some(total) => number(&mut out, total),
        None => out.push('*'),
    }
    out
}

/// 206 when a count says that there is more than this, else 200.
///
/// # Errors
/// 416 with PGRST103 when the page begins past the last row of a counted answer.
pub fn status(offset: u64, rows: u64, total: Option<u64>) -> Result<u16, Malformed> {
    match total {
        Some(total) if offset > total => Err(Malformed::new("PGRST103", 416, "Requested range not satisfiable")
            .with_details(format!("An offset of {offset} was requested, but there are only {total} rows."))),
        Some(total) if rows < total => Ok(206),
        Some(_) | None => Ok(200),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_and_their_status() {
        for (offset, rows, total, expected) in [
            (0, 20, None, "200 0-19/*"),
            (0, 0, None, "200 */*"),
            (0, 0, Some(0), "200 */0"),
            (0, 15, Some(15), "200 0-14/15"),
            (0, 25, Some(3_573_458), "206 0-24/3573458"),
            (20, 5, Some(25), "206 20-24/25"),
            (25, 0, Some(25), "206 */25"),
            (26, 0, Some(25), "416 */25"),
        ] {
            let status = status(offset, rows, total).unwrap_or_else(|malformed| malformed.status);
            assert_eq!(format!("{status} {}", content_range(offset, rows, total)), expected);
        }
    }
}
