//! `text/csv` (RFC 4180): a header row even when no row follows; embedded values as JSON text. Null is an empty field, empty text a
//! quoted empty field, so that they stay apart.

use super::splice::Splicer;
use undergird_plan::rows::Overflow;
use undergird_plan::shape::Object;

pub(super) fn body(splicer: &Splicer<'_>, object: &Object, out: &mut Vec<u8>) -> Result<(), Overflow> {
    for (position, member) in object.members.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        field(out, member.name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    let Some(root) = splicer.root() else { return Ok(()) };
    let members = object.members.len();
    let mut scratch = Vec::new();
    for row in splicer.root_rows() {
        let first = row as usize * members;
        for (position, at) in root.fields.get(first..first + members).unwrap_or_default().iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            if at.null {
                continue;
            }
            scratch.clear();
            splicer.field(root, at, &mut scratch)?;
            // Only an embed that found nothing says `null` here: its hole is all that the field has.
            let empty_embed = at.start == at.end && scratch == b"null";
            if !empty_embed {
                field(out, &scratch);
            }
        }
        out.extend_from_slice(b"\r\n");
        splicer.check(out.len())?;
    }
    Ok(())
}

fn field(out: &mut Vec<u8>, text: &[u8]) {
    let quoted = text.is_empty()
        || memchr::memchr3(b',', b'"', b'\n', text).is_some()
        || memchr::memchr(b'\r', text).is_some()
        || text[0] == b' '
        || text[text.len() - 1] == b' ';
    if !quoted {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for piece in text.split_inclusive(|byte| *byte == b'"') {
        out.extend_from_slice(piece);
        if piece.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}
