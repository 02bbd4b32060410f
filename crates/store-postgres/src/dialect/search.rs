//! Full-text search in PostgreSQL's words: an index on `to_tsvector('english', body)` serves what is asked in that language.
//!
//! Absent: whether a query is well-formed; a plan has none that is not.

use super::tight;
use undergird_model::expr::Search;
use undergird_store::sql::Operand;

/// Whether words are found in a text.
pub(super) fn found(how: Search, language: Option<&'static str>, text: &Operand, query: &Operand) -> String {
    let function = match how {
        Search::Query => "to_tsquery",
        Search::Plain => "plainto_tsquery",
        Search::Phrase => "phraseto_tsquery",
        Search::Web => "websearch_to_tsquery",
    };
    // One of a closed list, so it needs no quoting.
    let language = language.map_or_else(String::new, |language| format!("'{language}'::regconfig, "));
    format!("to_tsvector({language}{}) @@ {function}({language}{})", text.text, tight(query))
}
