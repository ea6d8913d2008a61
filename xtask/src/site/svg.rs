//! As much of SVG as a chart and a terminal need.

use std::fmt::Write;

/// A picture of this size, in pixels.
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub fn new(width: f64, height: f64) -> Svg {
        Svg { width, height, body: String::new() }
    }

    pub fn rectangle(&mut self, at: (f64, f64), size: (f64, f64), more: &str) {
        let ((x, y), (w, h)) = (at, size);
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" {more}/>"#
        );
    }

    /// `more` is attributes.
    pub fn text(&mut self, at: (f64, f64), more: &str, text: &str) {
        let (x, y) = at;
        let text = escaped(text);
        let _ = writeln!(self.body, r#"<text x="{x:.1}" y="{y:.1}" {more}>{text}</text>"#);
    }

    pub fn style(&mut self, css: &str) {
        let _ = writeln!(self.body, "<style>{css}</style>");
    }

    /// With the title that a reader hears who does not see.
    pub fn finish(self, title: &str) -> String {
        let Svg { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n{body}</svg>\n",
            escaped(title)
        )
    }
}

/// What a document of XML 1.0 can hold, with its own signs escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_an_element() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text((1.0, 2.0), "", "<script>\u{1b}[2J&\"");
        let text = svg.finish("<b>");
        assert!(text.contains("&lt;script&gt;\u{fffd}[2J&amp;&quot;"), "{text}");
        assert!(text.contains("<title>&lt;b&gt;</title>"), "{text}");
    }
}
