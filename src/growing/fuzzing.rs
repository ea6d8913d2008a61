//! See `crate::fuzzing`.

use super::records::{Broken, Records};
use crate::provider::{Frames, Framing, Growing, Method, Request, Since};

fn stream(options: u8) -> Growing {
    let frames = Frames {
        header: 8,
        number_at: 0,
        length_at: 4,
        shown: if options & 4 == 0 { vec![0, 1, 2] } else { vec![2] },
        hidden: if options & 4 == 0 { vec![] } else { vec![0, 1] },
        error: (options & 8 == 0).then_some(3),
        unframed: 1,
    };
    let framing = if options & 1 == 0 { Framing::Frames(frames) } else { Framing::Plain };
    let request = Request {
        endpoint: "e".into(),
        method: Method::Get,
        path: "/log".into(),
        headers: Vec::new(),
        body: None,
    };
    let timed = options & 2 == 0;
    Growing { request, framing, timed, since: timed.then(|| Since::seconds("since")) }
}

/// What is shown of a stream that comes in chunks of `size` bytes.
fn push(records: &mut Records, bytes: &[u8], size: usize) -> (Vec<u8>, Result<(), Broken>) {
    let mut out = Vec::new();
    for chunk in bytes.chunks(size) {
        if let Err(broken) = records.push(chunk, &mut out) {
            return (out, Err(broken));
        }
    }
    (out, Ok(()))
}

/// Options, the size of a chunk, and the stream.
pub fn records(input: &[u8]) {
    let [options, size, bytes @ ..] = input else { return };
    let stream = stream(*options);
    let mut cut = Records::new(&stream);
    let mut whole = Records::new(&stream);
    let (shown, result) = push(&mut cut, bytes, usize::from(*size).max(1));
    let all = push(&mut whole, bytes, bytes.len().max(1));
    assert_eq!((&shown, &result), (&all.0, &all.1), "the cuts show");
    // Nothing is shown that was not sent, but for the ends of lines that were lost.
    assert!(shown.len() <= 2 * bytes.len(), "{} of {}", shown.len(), bytes.len());
    if result.is_err() {
        return;
    }
    if matches!(stream.framing, Framing::Plain) && !stream.timed {
        assert_eq!(shown, bytes);
        cut.reconnected();
        assert_eq!(push(&mut cut, bytes, bytes.len().max(1)).0, b"", "shown twice");
        return;
    }
    let (mut settled, mut again) = (Vec::new(), Vec::new());
    cut.settle(&mut settled);
    cut.settle(&mut again);
    assert!(again.is_empty(), "more is shown of what was settled");
    let since = cut.since();
    assert_eq!(since.is_some(), stream.timed && cut.newest().is_some());
    cut.reconnected();
    // Whatever comes now, it is read to its end or refused.
    let _ = push(&mut cut, bytes, usize::from(*size).max(1));
}
