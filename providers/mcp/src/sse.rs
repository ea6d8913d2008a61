//! Events of a stream that has ended (HTML Living Standard, section 9.2 "Server-sent events"). Only their data counts
//! here: all that a server says in answer to a request is a message.

/// The data of each event, one after the other. An event that the stream breaks off within is none.
pub fn events(body: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(body);
    let text =
        text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let mut data: Option<String> = None;
    for line in text.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else { break };
        if line.is_empty() {
            events.extend(data.take());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => data = Some(value.to_owned()),
            }
        }
    }
    events.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(body: &str) -> Vec<String> {
        events(body.as_bytes()).collect()
    }

    #[test]
    fn an_event_is_its_lines_of_data_up_to_an_empty_line() {
        assert_eq!(data("event: message\nid: 7\nretry: 10\ndata: a\n\n"), ["a"]);
        assert_eq!(data("data: a\ndata:b\ndata:  c\n\ndata: d\n\n"), ["a\nb\n c", "d"]);
        assert_eq!(data("data\n\n"), [""]);
        assert_eq!(data("data: {\"a\": \"b: c\"}\n\n"), ["{\"a\": \"b: c\"}"]);
    }

    #[test]
    fn comments_and_other_fields_are_no_data() {
        assert_eq!(
            data(": keepalive\n\n: data: x\n\nid: 1\n\nDATA: x\n\ndatum: x\n\ndata: a\n\n"),
            ["a"]
        );
    }

    #[test]
    fn each_line_end_of_the_standard_ends_a_line() {
        for end in ["\n", "\r\n", "\r"] {
            let body = "\u{feff}: x||data: a|data: b||data: c||".replace('|', end);
            assert_eq!(data(&body), ["a\nb", "c"], "{end:?}");
        }
    }

    #[test]
    fn an_event_that_breaks_off_is_none() {
        assert_eq!(data("data: a\n\ndata: b\n"), ["a"]);
        assert_eq!(data("data: a\n\ndata: b"), ["a"]);
        assert_eq!(data(""), [""; 0]);
    }
}
