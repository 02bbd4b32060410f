//! Diagnostics for people and for programs.

use crate::diagnostic::{Diagnostic, Severity, Source};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value as Json, json};

/// Diagnostics as a terminal shows them: the line, the place under it, the advice. Plain text, no colours.
pub fn render(diagnostics: &[Diagnostic], sources: &[Source]) -> String {
    render_with(diagnostics, sources, &Renderer::plain())
}

/// The same with colours.
pub fn render_coloured(diagnostics: &[Diagnostic], sources: &[Source]) -> String {
    render_with(diagnostics, sources, &Renderer::styled())
}

fn render_with(diagnostics: &[Diagnostic], sources: &[Source], renderer: &Renderer) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
        let mut group = match sources.iter().find(|source| source.name == diagnostic.file) {
            Some(source) => title.element(snippet(diagnostic, source)),
            // An override's text is in the environment, not in a file: its name is all there is to show.
            None => Group::with_title(title).element(Level::NOTE.message(format!("in {}", diagnostic.file))),
        };
        if let Some(hint) = &diagnostic.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    out
}

fn snippet<'a>(diagnostic: &Diagnostic, source: &'a Source) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    // Spans are of this text, but a caller may have passed another version of it; a picture is no reason to panic.
    let text = source.text.as_ref();
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(diagnostic.span.start), floor(diagnostic.span.end));
    let snippet = Snippet::source(text).path(source.name.as_ref());
    snippet.annotation(AnnotationKind::Primary.span(start..end.max(start)))
}

/// Diagnostics for `--json`: one object each with file, line, column, code, severity, message and hint.
pub fn to_json(diagnostics: &[Diagnostic]) -> Vec<Json> {
    let object = |diagnostic: &Diagnostic| {
        json!({
            "file": &*diagnostic.file,
            "line": diagnostic.line,
            "column": diagnostic.column,
            "code": diagnostic.code,
            "severity": match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "message": diagnostic.message,
            "hint": diagnostic.hint,
        })
    };
    diagnostics.iter().map(object).collect()
}
