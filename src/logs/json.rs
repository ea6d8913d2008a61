//! An event as one JSON object, for programs that collect logs.
//!
//! Invariant: a line is whole JSON whatever its values are: each is cut so that all of them fit into the
//! longest line, and made printable before it is encoded, since a reader of JSON undoes escapes.

use super::{MOST_LINE, printable};
use serde_json::{Map, Value};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What the names, the time and the level take at most.
const FRAME: usize = 1 << 10;

pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut values = Values { message: None, fields: Map::new(), room: MOST_LINE - FRAME };
        event.record(&mut values);
        let mut line = Map::new();
        line.insert("timestamp".into(), timestamp.into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.insert("message".into(), values.message.unwrap_or_else(|| "".into()));
        if !values.fields.is_empty() {
            line.insert("fields".into(), values.fields.into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Values {
    message: Option<Value>,
    fields: Map<String, Value>,
    /// Bytes of a line that are left for values.
    room: usize,
}

impl Values {
    fn text(&mut self, field: &Field, text: &str) {
        let text = printable(text);
        // A quote or a backslash takes two bytes; everything else that is printable stays as it is.
        let cut = text.floor_char_boundary(self.room / 2);
        self.put(field, text[..cut].into());
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.room = self.room.saturating_sub(value.to_string().len());
        match field.name() {
            "message" => self.message = Some(value),
            name => drop(self.fields.insert(name.into(), value)),
        }
    }
}

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, MOST_BYTES, Rotating, Sink, layer};
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn each_line_is_an_object_that_shows_nothing_hidden_and_fits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let file = Arc::new(Mutex::new(Rotating::open(path.clone()).unwrap()));
        let sink = Sink { file, terminal: false };
        let subscriber = tracing_subscriber::registry().with(layer(sink, Format::Json));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(provider = %"hub", path = "a/\u{1b}[2J", count = 3, "it said \"no\"\nand \u{202e}left");
            let long = "\"\u{e9}\\\n".repeat(MOST_LINE);
            tracing::error!(long, other = long, third = 7, "{long}");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["level"], "WARN");
        assert_eq!(lines[0]["message"], "it said \"no\"\u{fffd}and \u{fffd}left");
        let fields = serde_json::json!({ "provider": "hub", "path": "a/\u{fffd}[2J", "count": 3 });
        assert_eq!(lines[0]["fields"], fields);
        assert!(lines[0]["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert!(lines[1]["message"].as_str().unwrap().starts_with("\"\u{e9}\\\u{fffd}"));
        assert_eq!(lines[1]["fields"]["third"], 7);
        assert!(
            text.lines().all(|line| line.len() <= MOST_LINE) && MOST_LINE < MOST_BYTES as usize
        );
    }
}
