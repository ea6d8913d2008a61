//! Requests with `{FIELD}` in them.

use omnifs_sdk::http::Request;
use omnifs_sdk::manifest;
use std::fmt::Display;

/// What a piece of a path or query is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

/// Whose id a `{FIELD}` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `{id}`: the object's own.
    Own,
    /// `{since}`: no id, but the time from which a feed asks.
    Since,
    /// `{OBJECT}`: that of an object in whose directory it is, by its place in the file.
    Enclosing(usize),
}

/// A GET request of the service.
#[derive(Clone, Debug)]
pub struct Template {
    /// The path with `*` for each segment that has a field.
    pub rule: &'static str,
    /// Those segments, in order.
    segments: Vec<Vec<Piece>>,
    query: Vec<(String, Vec<Piece>)>,
}

impl Template {
    /// Reads `/issues/{id}.json?project={project}`. `field` says what a name in braces stands for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        text: &str,
        mut field: impl FnMut(&str) -> Result<Field, String>,
    ) -> Result<Template, String> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let Some(rest) = path.strip_prefix('/') else {
            return Err(format!("the request {text:?} does not begin with `/`"));
        };
        let plain = |c: char| c.is_ascii_graphic() && !"*\\#\"<>^`|".contains(c);
        if !text.chars().all(|c| plain(c) || "*<>|".contains(c)) || !path.chars().all(plain) {
            return Err(format!(
                "the request {text:?} has a character that no path has: write it as %XX"
            ));
        }
        let (mut rule, mut segments) = (String::new(), Vec::new());
        for segment in rest.split('/') {
            if matches!(segment, "." | "..") {
                return Err(format!("the request {text:?} has `{segment}` in its path"));
            }
            let pieces = pieces(segment, &mut field)?;
            rule.push('/');
            match &pieces[..] {
                [] => {}
                [Piece::Text(text)] => rule.push_str(text),
                _ => {
                    rule.push('*');
                    segments.push(pieces);
                }
            }
        }
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if pair.contains('%') || name.contains(['{', '}']) {
                return Err(format!(
                    "the query of {text:?} is written as it is meant: no % and no field in a name"
                ));
            }
            parameters.push((name.to_owned(), pieces(value, &mut field)?));
        }
        Ok(Template { rule: rule.leak(), segments, query: parameters })
    }

    /// The objects whose ids it needs, its own aside.
    pub fn needs(&self) -> impl Iterator<Item = usize> {
        let pieces = self.segments.iter().chain(self.query.iter().map(|(_, value)| value));
        pieces.flatten().filter_map(|piece| match piece {
            Piece::Field(Field::Enclosing(object)) => Some(*object),
            Piece::Field(Field::Own | Field::Since) | Piece::Text(_) => None,
        })
    }

    /// Whether it has this field.
    pub fn has(&self, field: Field) -> bool {
        let pieces = self.segments.iter().chain(self.query.iter().map(|(_, value)| value));
        pieces.flatten().any(|piece| *piece == Piece::Field(field))
    }

    /// Whether its query has a parameter of this name.
    pub fn asks_for(&self, parameter: &str) -> bool {
        self.query.iter().any(|(name, _)| name == parameter)
    }

    /// The request, with the ids that `id` answers. None of them can become two segments or parameters.
    pub fn request(&self, endpoint: &str, id: impl Fn(Field) -> String) -> Request {
        let fill = |pieces: &[Piece]| -> String {
            let text = |piece: &Piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Field(field) => id(*field),
            };
            pieces.iter().map(text).collect()
        };
        let segments: Vec<String> = self.segments.iter().map(|pieces| fill(pieces)).collect();
        let segments: Vec<&dyn Display> =
            segments.iter().map(|text| text as &dyn Display).collect();
        let request = Request::of(endpoint, &manifest::get(self.rule), &segments);
        let query = self.query.iter();
        query.fold(request, |request, (name, value)| request.query(name, fill(value)))
    }
}

fn pieces(
    text: &str,
    field: &mut impl FnMut(&str) -> Result<Field, String>,
) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(format!("{text:?} has a `{{` that nothing closes"));
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Field(field(name)?));
        rest = after;
    }
    if rest.contains('}') {
        return Err(format!("{text:?} has a `}}` without its `{{`"));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Template, String> {
        Template::read(text, |name| match name {
            "id" => Ok(Field::Own),
            "project" => Ok(Field::Enclosing(0)),
            name => Err(format!("no {name}")),
        })
    }

    fn path(text: &str, own: &str, project: &str) -> String {
        let id = |field| if field == Field::Own { own.to_owned() } else { project.to_owned() };
        read(text).unwrap().request("api", id).path().to_owned()
    }

    #[test]
    fn an_id_stays_one_segment_and_one_value() {
        let text = "/p/{project}/issues/{id}.json?q={id}&status=*";
        assert_eq!(read(text).unwrap().rule, "/p/*/issues/*");
        assert_eq!(path(text, "7", "a b"), "/p/a%20b/issues/7.json?q=7&status=%2A");
        assert_eq!(path("/i?q={id}", "a&b=/c", ""), "/i?q=a%26b%3D%2Fc");
        let leads_away = read("/i/{id}").unwrap().request("api", |_| "../x".into());
        assert!(leads_away.send().is_err(), "an id with a slash was asked for");
    }

    #[test]
    fn what_cannot_be_a_request_says_why() {
        for (text, why) in [
            ("issues", "does not begin"),
            ("/a/*", "character"),
            ("/a b", "character"),
            ("/a/../b", "`..`"),
            ("/a/{id", "nothing closes"),
            ("/a/id}", "without its"),
            ("/a/{who}", "no who"),
            ("/a?b=%20", "as it is meant"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
