//! Which equalities are warned of because a visitor passes them.

use super::{blog, scope};
use crate::cel::{Expect, compile_with_warnings};

#[test]
fn visitors_pass_by_being_nobody() {
    let model = blog();
    let scope = scope(&model, Expect::Bool);
    // Each with what is underlined.
    let cases: &[(&str, &[&str])] = &[
        ("author_id == auth.id", &[]),
        ("editor_id == auth.id", &["editor_id == auth.id"]),
        ("auth.id == editor_id || hidden", &["auth.id == editor_id"]),
        ("editor_id != auth.id", &[]),
        ("!(editor_id != auth.id)", &["(editor_id != auth.id)"]),
        ("!(editor_id == auth.id)", &[]),
        ("auth.id != null && editor_id == auth.id", &[]),
        ("has(auth.id) && editor_id == auth.id", &[]),
        ("(auth.id != null || hidden) && editor_id == auth.id", &["editor_id == auth.id"]),
        ("!(auth.id == null || editor_id != auth.id)", &[]),
        ("auth.id == null ? hidden : editor_id == auth.id", &[]),
        ("auth.id != null ? hidden : editor_id == auth.id", &["editor_id == auth.id"]),
        ("auth.role == 'authenticated' && editor_id == auth.id", &[]),
        ("auth.role != 'anon' && editor_id == auth.id", &[]),
        ("auth.role == 'anon' && editor_id == auth.id", &["editor_id == auth.id"]),
        ("'x' in auth.roles && editor_id == auth.id", &[]),
        ("author_id == auth.id && editor_id == auth.id", &[]),
        ("author.team_id == auth.profile.team_id", &[]),
        ("editor.team_id == auth.profile.team_id", &["editor.team_id == auth.profile.team_id"]),
        ("auth.profile != null && editor.team_id == auth.profile.team_id", &[]),
        ("meta.owner == auth.id", &["meta.owner == auth.id"]),
        ("auth.claims.org == meta.org && 'x' in tags", &["auth.claims.org == meta.org"]),
        ("auth.claims.org == 'x'", &[]),
        ("auth.claims.org == auth.profile.name", &["auth.claims.org == auth.profile.name"]),
        ("comments.exists(c, c.user_id == auth.id)", &[]),
        ("comments.exists(c, c.post.editor_id == auth.id)", &["c.post.editor_id == auth.id"]),
        ("comments.all(c, c.post.editor_id == auth.id)", &["c.post.editor_id == auth.id"]),
        ("auth.id != null && comments.all(c, c.post.editor_id == auth.id)", &[]),
        ("auth.email == author.email", &[]),
        ("new.editor_id == auth.id && editor_id == auth.id", &["new.editor_id == auth.id", "editor_id == auth.id"]),
    ];
    for (text, expected) in cases {
        let (_, warnings) = compile_with_warnings(text, &scope).unwrap();
        let found: Vec<&str> = warnings.iter().map(|problem| &text[problem.span.start..problem.span.end]).collect();
        assert_eq!(found, *expected, "{text}");
    }
}
