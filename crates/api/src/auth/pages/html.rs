//! HTML that cannot be anything else: names of elements and attributes are ours, known when this is compiled; everything else is text, and
//! escaped by being written.
//!
//! Absent: a way to write markup as it is.

/// Elements, being written.
#[derive(Default)]
pub(super) struct Html(String);

/// A name of ours, and a value of anybody's.
pub(super) type Attribute<'a> = (&'static str, &'a str);

impl Html {
    /// A whole document of these elements.
    pub(super) fn document(language: &'static str, write: impl FnOnce(&mut Html)) -> String {
        let mut html = Html("<!doctype html>\n".into());
        html.element("html", &[("lang", language)], write);
        html.0.push('\n');
        html.0
    }

    /// An element with what is in it.
    pub(super) fn element(&mut self, name: &'static str, attributes: &[Attribute<'_>], write: impl FnOnce(&mut Html)) {
        self.open(name, attributes);
        write(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// An element that holds text alone.
    pub(super) fn line(&mut self, name: &'static str, attributes: &[Attribute<'_>], text: &str) {
        self.element(name, attributes, |html| html.text(text));
    }

    /// An element that never holds anything: `input`, `meta`, `link`, `img`.
    pub(super) fn empty(&mut self, name: &'static str, attributes: &[Attribute<'_>]) {
        self.open(name, attributes);
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) {
        for char in text.chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // No HTML may hold it.
                '\0' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
    }

    fn open(&mut self, name: &'static str, attributes: &[Attribute<'_>]) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_text() {
        let page = Html::document("en", |html| {
            html.element("p", &[("title", "\"><script>alert(1)</script>")], |html| html.text("</p><b>&'\0"));
        });
        let expected = "<!doctype html>\n<html lang=\"en\"><p title=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\">\
                        &lt;/p&gt;&lt;b&gt;&amp;&#39;\u{fffd}</p></html>\n";
        assert_eq!(page, expected);
    }
}
