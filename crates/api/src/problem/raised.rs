//! What a function of the database raised, as PostgREST tells it: the status by the SQLSTATE, the words by the function's author.
//! <https://docs.postgrest.org/en/stable/references/errors.html#raise-errors-with-http-status-codes>
//!
//! Absent: the database's own words. Where they are all that there is, they may show what nobody asked for: they go to the log.

use super::Problem;
use undergird_engine::failure::{Raised, Said};

/// The problem of what was raised.
pub(super) fn problem(raised: Raised) -> Problem {
    let Raised { state, said, told } = raised;
    let status = status(&state);
    let chosen = state.starts_with("PT");
    match said {
        // That the server fails is nobody's to know in detail, unless the author chose to say so.
        _ if status >= 500 && !chosen => Problem { cause: Some(told.into()), ..Problem::internal() },
        Some(Said { message, detail, hint }) => {
            Problem { state: Some(state.into()), details: detail, hint, ..Problem::new("P0001", status, message) }
        }
        None => Problem {
            state: Some(state.into()),
            cause: Some(told.into()),
            ..Problem::new("P0001", status, "The function does not take one of these values")
                .with_hint("The server's log has the reason under this request_id.")
        },
    }
}

/// PostgREST's table: <https://docs.postgrest.org/en/stable/references/errors.html#status-codes>.
fn status(state: &str) -> u16 {
    let class = state.get(..2).unwrap_or_default();
    match (state, class) {
        (_, "PT") => {
            let digits = state.get(2..).and_then(|digits| digits.parse().ok());
            digits.filter(|status| (400..=599).contains(status)).unwrap_or(500)
        }
        ("23503" | "23505", _) => 409,
        ("25006", _) => 405,
        ("P0001", _) => 400,
        ("42883" | "42P01", _) => 404,
        ("42P17", _) => 500,
        // 401 would ask for credentials; whether some would help is the author's to say (PT401).
        ("42501", _) => 403,
        (_, "0L" | "0P" | "28") => 403,
        (_, "08" | "53") => 503,
        (_, "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0" | "HV" | "P0" | "XX") => {
            500
        }
        _ => 400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: &str, said: bool, expected: &str) {
        let words = Said { message: "no more seats".into(), detail: Some("12 of 12".into()), hint: None };
        let told = format!("PostgreSQL {state}: INSERT INTO seats");
        let problem = problem(Raised { state: state.into(), said: said.then_some(words), told });
        let mut body = Vec::new();
        problem.write("0", &mut body);
        let body = String::from_utf8_lossy(&body);
        assert!(!body.contains("INSERT"), "{body}");
        let code = problem.state.as_deref().unwrap_or(problem.code);
        assert_eq!(format!("{} {code} {}", problem.status, problem.message), expected);
    }

    #[test]
    fn what_is_raised_is_told_as_its_author_said() {
        check("P0001", true, "400 P0001 no more seats");
        check("PT402", true, "402 PT402 no more seats");
        check("PT503", true, "503 PT503 no more seats");
        check("PT200", true, "500 PT200 no more seats");
        check("23505", true, "409 23505 no more seats");
        check("42501", true, "403 42501 no more seats");
        check("UX001", true, "400 UX001 no more seats");
        check("XX001", true, "500 XX000 Something went wrong on the server");
        check("57014", true, "500 XX000 Something went wrong on the server");
        check("22003", false, "400 22003 The function does not take one of these values");
        check("XX000", false, "500 XX000 Something went wrong on the server");
    }
}
