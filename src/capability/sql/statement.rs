//! What a statement of a manifest may be.
//!
//! The check is by words and characters, and knows no grammar: it refuses more than it has to, such as a column named
//! `update` without quotes. What it lets through still runs where the database itself allows reading only.

#[cfg(feature = "sql")]
use crate::provider::ParameterKind;
use crate::provider::Statement;

/// Words by which something is written, locked, set or run.
const WRITING: &[&str] = &[
    "alter",
    "analyze",
    "attach",
    "begin",
    "call",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "detach",
    "discard",
    "do",
    "drop",
    "end_transaction",
    "execute",
    "explain",
    "fetch",
    "grant",
    "import",
    "insert",
    "into",
    "listen",
    "load",
    "lock",
    "merge",
    "move",
    "notify",
    "pragma",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "replace",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "set",
    "share",
    "show",
    "start",
    "truncate",
    "unlisten",
    "update",
    "vacuum",
];

/// Functions that do more than compute, by the beginning of their names. No list of these can be whole: a role without
/// rights is what holds.
const ACTING: &[&str] = &[
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "fts3_tokenizer",
    "load_extension",
    "lo_",
    "loread",
    "lowrite",
    "nextval",
    "pg_advisory",
    "pg_backup",
    "pg_cancel",
    "pg_create",
    "pg_current_xact_id",
    "pg_drop",
    "pg_export",
    "pg_file",
    "pg_log",
    "pg_logical",
    "pg_ls_",
    "pg_notify",
    "pg_prewarm",
    "pg_promote",
    "pg_read",
    "pg_reload",
    "pg_replication",
    "pg_rotate",
    "pg_sleep",
    "pg_start",
    "pg_stat_file",
    "pg_stat_reset",
    "pg_stat_statements_reset",
    "pg_stop",
    "pg_switch",
    "pg_terminate",
    "pg_try_advisory",
    "pg_wal_replay",
    "query_to_xml",
    "schema_to_xml",
    "set_config",
    "setval",
    "table_to_xml",
    "txid_current",
];

/// A part of a statement's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// A parameter, by its place in the list.
    Parameter(usize),
}

/// Refuses what is no single statement that only reads.
///
/// # Errors
/// Why, in words for who wrote the manifest.
pub(crate) fn check(statement: &Statement) -> Result<(), String> {
    let pieces = pieces(statement)?;
    let used = |at: usize| pieces.contains(&Piece::Parameter(at));
    if let Some(at) = (0..statement.parameters.len()).find(|at| !used(*at)) {
        return Err(format!("its text does not use {{{}}}", statement.parameters[at].name));
    }
    let mut words = words(&pieces);
    match words.next() {
        Some((word, false)) if ["select", "values", "with"].contains(&&*word) => {}
        _ => return Err("it must begin with SELECT, VALUES or WITH".to_owned()),
    }
    for (word, is_quoted) in words {
        if WRITING.contains(&&*word) && !is_quoted {
            return Err(format!("the word {word} is not for reading; a name is put into quotes"));
        }
        if ACTING.iter().any(|name| word.starts_with(name)) {
            return Err(format!("the function {word} does more than read"));
        }
    }
    Ok(())
}

/// The parts of the text.
pub(super) fn pieces(statement: &Statement) -> Result<Vec<Piece<'_>>, String> {
    let text = statement.text.as_str();
    let mut pieces = Vec::new();
    let (mut from, mut quote) = (0, None);
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let next = rest.peek().map(|(_, next)| *next);
        match (quote, c) {
            (_, '\\') => return Err("a backslash is read in two ways".to_owned()),
            (_, '{' | '}') if quote.is_some() => {
                return Err("a parameter stands outside of quotes".to_owned());
            }
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') if text[..at].ends_with('&') => {
                return Err("a quote behind & is read in two ways".to_owned());
            }
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => {
                let end = text[at..].find('}').ok_or("a { is not closed")? + at;
                let name = &text[at + 1..end];
                let named = statement.parameters.iter().position(|own| own.name == name);
                let place = named.ok_or_else(|| format!("{{{name}}} is no parameter of it"))?;
                pieces.push(Piece::Text(&text[from..at]));
                pieces.push(Piece::Parameter(place));
                from = end + 1;
                while rest.next_if(|(at, _)| *at <= end).is_some() {}
                // Two names side by side would be one.
                let touches = |c: char| c == '{' || c == '"' || c == '\'' || in_word(c);
                let before = text[..at].chars().next_back();
                let after = text[from..].chars().next();
                if before.is_some_and(touches) || after.is_some_and(touches) {
                    return Err(format!("{{{name}}} stands in a word"));
                }
            }
            (None, ':') if next == Some(':') => drop(rest.next()),
            (None, '-') if next == Some('-') => return Err("it has a comment".to_owned()),
            (None, '/') if next == Some('*') => return Err("it has a comment".to_owned()),
            (None, ';' | '$' | '?' | ':' | '@' | '#' | '`' | '[' | ']' | '}') => {
                return Err(format!("the character {c} is not for statements"));
            }
            (None, c) if c.is_control() => return Err("it is not one line".to_owned()),
            (None, _) => {}
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    pieces.push(Piece::Text(&text[from..]));
    Ok(pieces)
}

fn in_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The words outside of quotes, in lower case, and the names within them, which may be of functions too.
fn words(pieces: &[Piece<'_>]) -> impl Iterator<Item = (String, bool)> {
    let mut words = Vec::new();
    for piece in pieces {
        let Piece::Text(text) = piece else { continue };
        let (mut word, mut quote) = (String::new(), None);
        for c in text.chars() {
            match quote {
                Some(open) if open == c => {
                    words.push((std::mem::take(&mut word), true));
                    quote = None;
                }
                Some('"') => word.extend(c.to_lowercase()),
                Some(_) => {}
                None if in_word(c) => word.extend(c.to_lowercase()),
                None => {
                    words.push((std::mem::take(&mut word), false));
                    quote = matches!(c, '\'' | '"').then_some(c);
                }
            }
        }
        words.push((word, false));
    }
    words.into_iter().filter(|(word, _)| !word.is_empty())
}

/// The text as a database takes it: names quoted, and `place` in place of each value, which gets its number among
/// those. With the places of the values in the list of parameters.
#[cfg(feature = "sql")]
pub(super) fn bound(
    statement: &Statement,
    identifiers: &[&str],
    place: impl Fn(usize) -> String,
) -> Result<(String, Vec<usize>), String> {
    let (mut text, mut values) = (String::new(), Vec::new());
    let names = |at: usize| {
        let before = &statement.parameters[..at];
        before.iter().filter(|own| own.kind == ParameterKind::Identifier).count()
    };
    for piece in pieces(statement)? {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Parameter(at) => match statement.parameters[at].kind {
                ParameterKind::Identifier => {
                    let name = identifiers.get(names(at)).ok_or("a name is missing")?;
                    text.push_str(&quoted(name));
                }
                _ => {
                    let known = values.iter().position(|own| *own == at);
                    let number = known.unwrap_or_else(|| {
                        values.push(at);
                        values.len() - 1
                    });
                    text.push_str(&place(number + 1));
                }
            },
        }
    }
    Ok((text, values))
}

/// A name as SQL has it (ISO/IEC 9075-2, delimited identifier).
#[cfg(feature = "sql")]
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Parameter, ParameterKind};

    fn statement(text: &str) -> Statement {
        let parameter = |(name, kind): (&str, ParameterKind)| Parameter { name: name.into(), kind };
        let all = [("table", ParameterKind::Identifier), ("key", ParameterKind::Value)];
        let used = all.into_iter().filter(|(name, _)| text.contains(&format!("{{{name}}}")));
        let parameters = used.map(parameter).collect();
        Statement { name: "a".into(), text: text.into(), parameters }
    }

    #[test]
    fn statements_that_read_are_accepted() {
        for good in [
            "SELECT 1",
            "select * from {table} where a = {key} or b = {key}",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1), (2)",
            "SELECT a::text, 'it''s; -- {x'::text FROM \"update\"".trim_end_matches("x"),
            "SELECT offset_of, settings FROM {table} LIMIT {key}",
        ] {
            let good = good.replace("{x", "x");
            assert_eq!(check(&statement(&good)), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_writes_locks_runs_or_hides_is_refused() {
        for bad in [
            "",
            "DELETE FROM {table}",
            "PRAGMA journal_mode",
            "ATTACH 'x' AS y",
            "SELECT 1; DELETE FROM a",
            "WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a",
            "WITH a AS (uPdAtE b SET c = 1 RETURNING *) SELECT * FROM a",
            "SELECT * INTO b FROM a",
            "SELECT * FROM a FOR UPDATE",
            "SELECT * FROM a FOR SHARE",
            "SELECT 1 -- a",
            "SELECT /* a */ 1",
            "SELECT 'a",
            "SELECT $1",
            "SELECT $$a$$",
            "SELECT ?",
            "SELECT :a",
            "SELECT E'\\''",
            "SELECT [a]",
            "SELECT `a`",
            "SELECT '{key}'",
            "SELECT \"{table}\"",
            "SELECT a{key}",
            "SELECT {key}a",
            "SELECT {key}{key}",
            "SELECT {unknown}",
            "SELECT {key",
            "SELECT 1}",
            "SELECT 1\n",
            "SELECT load_extension('a')",
            "SELECT pg_catalog.pg_read_file('/etc/passwd')",
            "SELECT PG_Sleep(1000)",
            "SELECT nextval('a')",
            "SELECT lo_export(1, 'a')",
            "SELECT * FROM dblink('a', 'b')",
            "SELECT query_to_xml('delete from a', true, true, '')",
            "SELECT \"pg_read_file\"('/etc/passwd')",
            "SELECT pg_catalog.\"Pg_Terminate_Backend\"(1)",
            "SELECT \"dblink\"('a', 'b')",
            "SELECT U&\"pg_r\"('a')",
            "SELECT pg_current_xact_id()",
            "\"select\" 1",
        ] {
            assert!(check(&statement(bad)).is_err(), "{bad}");
        }
        let mut unused = statement("SELECT {key}");
        unused.text = "SELECT 1".into();
        assert!(check(&unused).is_err());
    }

    #[cfg(feature = "sql")]
    #[test]
    fn a_name_is_quoted_and_a_value_has_a_place() {
        let own = statement("SELECT {key} FROM {table} WHERE a = {key}");
        let (text, values) = bound(&own, &["a\"; DROP TABLE b; --"], |n| format!("?{n}")).unwrap();
        assert_eq!(text, "SELECT ?1 FROM \"a\"\"; DROP TABLE b; --\" WHERE a = ?1");
        assert_eq!(values, [1]);
    }
}
