//! Parts of a content: what is asked, what is believed, and where it is asked again.

use super::server::{Reply, Server, answer};
use super::*;
use omnifs::provider::{Piece, Source, Validator, Wanted};

const LENGTH: u64 = 3000;

fn content() -> Vec<u8> {
    (0..LENGTH).map(|n| (n * 7 % 251) as u8).collect()
}

fn source(path: &str) -> Source {
    Source { request: get(path), offset: 0, length: LENGTH, validator: None, digest: None }
}

fn wanted<'a>(source: &'a Source, start: u64, validator: Option<&'a Validator>) -> Wanted<'a> {
    Wanted { source, start, length: 1000.min(source.length - start), validator }
}

async fn part(outbound: &Outbound, wanted: Wanted<'_>) -> Result<Piece, (Cause, String)> {
    let result = outbound.part(wanted).await;
    // As of any answer: nothing of it holds the secret.
    assert!(!format!("{result:?} {outbound:?} {:?}", outbound.status()).contains(SECRET));
    result.map_err(|failure| {
        assert!(!failure.detail.contains('\n'), "{failure}");
        (failure.cause, failure.detail)
    })
}

async fn cause(outbound: &Outbound, wanted: Wanted<'_>) -> Cause {
    part(outbound, wanted).await.expect_err("the part must fail").0
}

/// First and last byte of what a request asks for.
fn range(request: &str) -> (usize, usize) {
    let range = header_of(request, "range").expect("a Range");
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

/// A part as a service gives it that keeps to RFC 9110, with these headers.
fn ranged(request: &str, body: &[u8], headers: &str) -> Reply {
    let (first, last) = range(request);
    if first >= body.len() {
        return answer(416, &format!("Content-Range: bytes */{}\r\n", body.len()), "");
    }
    let last = last.min(body.len() - 1);
    let place = format!("Content-Range: bytes {first}-{last}/{}\r\n{headers}", body.len());
    answer(206, &place, &body[first..=last])
}

fn tag(tag: &str) -> Validator {
    Validator::Tag(tag.to_owned())
}

#[tokio::test]
async fn a_part_is_asked_for_by_range_and_the_next_one_on_condition_of_its_tag() {
    let server = Server::start(|_, request| match header_of(request, "if-match") {
        Some(held) if held != "\"a\"" => answer(412, "", ""),
        _ => ranged(request, &content(), "ETag: \"a\"\r\n"),
    })
    .await;
    let outbound = outbound(&server.url());
    let source = source("/things/1");
    let first = part(&outbound, wanted(&source, 1000, None)).await.unwrap();
    assert_eq!(&first.bytes[..], &content()[1000..2000]);
    assert_eq!((first.validator.clone(), first.whole), (Some(tag("\"a\"")), None));
    let second = part(&outbound, wanted(&source, 2000, first.validator.as_ref())).await.unwrap();
    assert_eq!(&second.bytes[..], &content()[2000..]);
    let requests = server.seen.requests();
    assert_eq!(range(&requests[0]), (1000, 1999));
    assert_eq!(header_of(&requests[0], "if-match"), None);
    assert_eq!(header_of(&requests[1], "if-match"), Some("\"a\""));
    assert!(
        requests.iter().all(|request| header_of(request, "accept-encoding") == Some("identity"))
    );
    assert!(requests.iter().all(|request| request.contains(SECRET)));
    // Where it was replaced, and where the service does not look at the condition.
    let other = tag("\"b\"");
    assert_eq!(cause(&outbound, wanted(&source, 0, Some(&other))).await, Cause::Changed);
    let deaf = Server::start(|_, request| ranged(request, &content(), "ETag: \"a\"\r\n")).await;
    let outbound = super::outbound(&deaf.url());
    assert_eq!(cause(&outbound, wanted(&source, 0, Some(&other))).await, Cause::Changed);
}

#[tokio::test]
async fn an_offset_and_a_far_place_are_asked_for_as_they_are() {
    let server = Server::start(|_, request| {
        let (first, last) = range(request);
        let place = format!("Content-Range: bytes {first}-{last}/*\r\n");
        answer(206, &place, vec![b'x'; last - first + 1])
    })
    .await;
    let outbound = outbound(&server.url());
    let far = Source { offset: i64::MAX as u64 - LENGTH, ..source("/things/1") };
    let got = part(&outbound, wanted(&far, 2500, None)).await.unwrap();
    assert_eq!(got.bytes.len(), 500);
    let end = i64::MAX as usize;
    assert_eq!(range(&server.seen.requests()[0]), (end - 500, end - 1));
}

#[tokio::test]
async fn what_tells_a_state_is_the_strongest_that_the_service_says() {
    let then = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let date = |settled| Validator::Date { text: "Sun, 06 Nov 1994 08:49:37 GMT".into(), settled };
    let later = "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n";
    let same = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (headers, expected) in [
        (format!("ETag: \"a\"\r\n{then}{later}"), Some(tag("\"a\""))),
        (format!("ETag: W/\"a\"\r\n{then}{later}"), Some(date(true))),
        (format!("ETag: W/\"a\"\r\n{then}{same}"), Some(tag("W/\"a\""))),
        (format!("{then}{later}"), Some(date(true))),
        (format!("{then}{same}"), Some(date(false))),
        (then.to_owned(), Some(date(false))),
        (String::new(), None),
    ] {
        let sent = headers.clone();
        let server = Server::start(move |_, request| ranged(request, &content(), &sent)).await;
        let outbound = outbound(&server.url());
        let source = source("/things/1");
        let got = part(&outbound, wanted(&source, 0, None)).await.unwrap();
        assert_eq!(got.validator, expected, "{headers}");
        // The next one is asked for and judged in the same form.
        let next = part(&outbound, wanted(&source, 1000, expected.as_ref())).await.unwrap();
        assert_eq!(next.validator, expected, "{headers}");
        let request = server.seen.requests().pop().unwrap();
        let strong = expected.as_ref().is_some_and(|v| *v == tag("\"a\""));
        assert_eq!(header_of(&request, "if-match").is_some(), strong, "{headers}");
        let dated = matches!(expected, Some(Validator::Date { .. }));
        assert_eq!(header_of(&request, "if-unmodified-since").is_some(), dated, "{headers}");
        // Where it answers in no form that can be compared, it says nothing of the state.
        let unlike = tag("\"other form\"");
        if !headers.contains("ETag") {
            let got = part(&outbound, wanted(&source, 0, Some(&unlike))).await.unwrap();
            assert_eq!(got.validator, None, "{headers}");
        }
    }
    let dated = date(true);
    let server = Server::start(|_, request| {
        ranged(request, &content(), "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT\r\n")
    })
    .await;
    let source = source("/things/1");
    assert_eq!(
        cause(&outbound(&server.url()), wanted(&source, 0, Some(&dated))).await,
        Cause::Changed
    );
}

#[tokio::test]
async fn a_service_without_parts_answers_the_whole_up_to_the_bound_and_the_setting_is_named() {
    let server = Server::start(|_, _| answer(200, "ETag: \"a\"\r\n", content())).await;
    let outbound = outbound(&server.url());
    let all = source("/things/1");
    let got = part(&outbound, wanted(&all, 2000, None)).await.unwrap();
    assert_eq!(&got.bytes[..], &content()[2000..]);
    assert_eq!(got.whole.as_deref(), Some(&content()[..]));
    let inner = Source { offset: 100, length: 2000, ..all.clone() };
    let got = part(&outbound, wanted(&inner, 1000, None)).await.unwrap();
    assert_eq!(&got.bytes[..], &content()[1100..2100]);
    assert_eq!(got.whole.as_deref(), Some(&content()[100..2100]));
    let longer = Source { length: LENGTH + 1, ..all.clone() };
    assert_eq!(cause(&outbound, wanted(&longer, 0, None)).await, Cause::Changed);
    let mut setup = setup(&server.url());
    setup.limits.body = LENGTH as usize - 1;
    let outbound = Outbound::new(setup).unwrap();
    let (cause, detail) = part(&outbound, wanted(&all, 0, None)).await.expect_err("too large");
    assert_eq!(cause, Cause::TooLarge);
    assert!(detail.contains("2999 bytes; content-size in [limits] raises that"), "{detail}");
}

#[tokio::test]
async fn an_empty_content_is_confirmed() {
    let empty = Source { length: 0, ..source("/things/1") };
    let gone = Server::start(|_, _| answer(404, "", "")).await;
    assert_eq!(cause(&outbound(&gone.url()), wanted(&empty, 0, None)).await, Cause::NotFound);
    for reply in [0, 1, 2] {
        let server = Server::start(move |_, request| match reply {
            0 => ranged(request, b"", "ETag: \"a\"\r\n"),
            1 => answer(200, "ETag: \"a\"\r\n", ""),
            // The empty beginning of something longer.
            _ => ranged(request, b"more", "ETag: \"a\"\r\n"),
        })
        .await;
        let got = part(&outbound(&server.url()), wanted(&empty, 0, None)).await.unwrap();
        assert!(got.bytes.is_empty());
    }
}

#[tokio::test]
async fn what_is_not_the_part_that_was_asked_for_is_refused() {
    let of = |first: usize, last: usize, total: &str| {
        let place = format!("Content-Range: bytes {first}-{last}/{total}\r\n");
        answer(206, &place, &content()[first..=last.min(2999)])
    };
    type Make<'a> = Box<dyn Fn() -> Reply + Send + Sync + 'a>;
    let cases: Vec<(&str, Make<'_>, Cause)> = vec![
        ("another place", Box::new(move || of(999, 1998, "3000")), Cause::Invalid),
        (
            "its end said later",
            Box::new(|| answer(206, "Content-Range: bytes 1000-1999/3000\r\n", "short")),
            Cause::Invalid,
        ),
        ("no place", Box::new(|| answer(206, "", &content()[1000..2000])), Cause::Invalid),
        (
            "another unit",
            Box::new(|| {
                answer(206, "Content-Range: lines 1000-1999/3000\r\n", &content()[1000..2000])
            }),
            Cause::Invalid,
        ),
        (
            "backwards",
            Box::new(|| answer(206, "Content-Range: bytes 1000-1/3000\r\n", "x")),
            Cause::Invalid,
        ),
        (
            "several",
            Box::new(|| {
                answer(206, "Content-Type: multipart/byteranges; boundary=x\r\n", "--x\r\n")
            }),
            Cause::Invalid,
        ),
        ("more than asked", Box::new(move || of(1000, 2999, "3000")), Cause::Invalid),
        ("too short a content", Box::new(move || of(1000, 1999, "2000")), Cause::Changed),
        (
            "nothing there",
            Box::new(|| answer(416, "Content-Range: bytes */900\r\n", "")),
            Cause::Changed,
        ),
        ("no content", Box::new(|| answer(204, "", "")), Cause::Invalid),
    ];
    for (case, make, expected) in cases {
        let make: Make<'static> = make;
        let server = Server::start(move |_, _| make()).await;
        let source = source("/things/1");
        let failed = part(&outbound(&server.url()), wanted(&source, 1000, None)).await;
        assert_eq!(failed.map_err(|(cause, _)| cause), Err(expected), "{case}");
    }
    // Of the state that was read before, the provider's size is wrong, and nothing was replaced.
    let server =
        Server::start(|_, request| ranged(request, &content()[..2000], "ETag: \"a\"\r\n")).await;
    let (source, known) = (source("/things/1"), tag("\"a\""));
    let failed = cause(&outbound(&server.url()), wanted(&source, 1000, Some(&known))).await;
    assert_eq!(failed, Cause::Invalid);
}

#[tokio::test]
async fn a_compressed_answer_is_never_taken_for_the_bytes_of_a_part() {
    let gzip = |bytes: &[u8]| {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let packed = gzip(&content());
    let parts = packed.clone();
    let server =
        Server::start(move |_, request| ranged(request, &parts, "Content-Encoding: gzip\r\n"))
            .await;
    let small = Source { length: 50, ..source("/things/1") };
    for start in [0, 20] {
        let wanted = Wanted { source: &small, start, length: 10, validator: None };
        assert_eq!(cause(&outbound(&server.url()), wanted).await, Cause::Invalid, "{start}");
    }
    // The whole is what it unpacks to.
    let server =
        Server::start(move |_, _| answer(200, "Content-Encoding: gzip\r\n", &packed)).await;
    let source = source("/things/1");
    let got = part(&outbound(&server.url()), wanted(&source, 1000, None)).await.unwrap();
    assert_eq!(&got.bytes[..], &content()[1000..2000]);
}

#[tokio::test]
async fn a_service_that_answers_less_than_it_was_asked_for_is_asked_for_the_rest() {
    let server = Server::start(|_, request| {
        let (first, last) = range(request);
        let end = last.min(first + 399);
        let place = format!("Content-Range: bytes {first}-{end}/3000\r\nETag: \"a\"\r\n");
        answer(206, &place, &content()[first..=end])
    })
    .await;
    let source = source("/things/1");
    let got = part(&outbound(&server.url()), wanted(&source, 1000, None)).await.unwrap();
    assert_eq!(&got.bytes[..], &content()[1000..2000]);
    let requests = server.seen.requests();
    assert_eq!(
        requests.iter().map(|r| range(r)).collect::<Vec<_>>(),
        [(1000, 1999), (1400, 1999), (1800, 1999)]
    );
    assert_eq!(header_of(&requests[1], "if-match"), Some("\"a\""));
}

#[tokio::test]
async fn a_failure_says_what_it_is() {
    for (status, headers, expected) in [
        (401, "", Cause::Denied),
        (403, "", Cause::Denied),
        (404, "", Cause::NotFound),
        (410, "", Cause::NotFound),
        (408, "", Cause::TimedOut),
        (429, "Retry-After: 7\r\n", Cause::RateLimited),
        (500, "", Cause::Unavailable),
        (503, "", Cause::Unavailable),
        (302, "", Cause::Invalid),
    ] {
        let server = Server::start(move |_, _| answer(status, headers, "why")).await;
        let source = source("/things/1");
        let outbound = outbound(&server.url());
        assert_eq!(cause(&outbound, wanted(&source, 0, None)).await, expected, "{status}");
    }
    // One that passes is not seen.
    let server = Server::start(|number, request| match number {
        0 => answer(503, "", ""),
        1 => Reply::Reset,
        _ => ranged(request, &content(), ""),
    })
    .await;
    let source = source("/things/1");
    let got = part(&outbound(&server.url()), wanted(&source, 1000, None)).await.unwrap();
    assert_eq!(&got.bytes[..], &content()[1000..2000]);
    let undeclared = super::parts::source("/elsewhere/1");
    assert_eq!(cause(&outbound(&server.url()), wanted(&undeclared, 0, None)).await, Cause::Denied);
}

/// An endpoint that redirects to a storage, whose addresses end with the number of the redirect.
async fn behind_a_redirect(
    storage: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
) -> (Server, Server, Outbound) {
    let storage = Server::start(storage).await;
    let url = storage.url();
    let api = Server::start(move |number, _| {
        let headers = "X-RateLimit-Limit: 60\r\nX-RateLimit-Resource: core\r\n";
        let headers = format!("Location: {url}/blob?sig={number}\r\n{headers}");
        answer(302, &headers, "")
    })
    .await;
    let mut setup = setup(&api.url());
    setup.overrides.get_mut("api").unwrap().redirect_hosts.push(storage.url());
    (api, storage, Outbound::new(setup).unwrap())
}

#[tokio::test]
async fn a_redirect_is_followed_once_and_its_place_is_asked_for_the_further_parts() {
    let (api, storage, outbound) = behind_a_redirect(|_, request| {
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
        ranged(request, &content(), "ETag: \"a\"\r\n")
    })
    .await;
    let source = Source {
        request: Request {
            headers: vec![("Accept".into(), "application/octet-stream".into())],
            ..get("/things/1")
        },
        ..source("/things/1")
    };
    let known = tag("\"a\"");
    for start in [0, 1000, 2000] {
        let got = part(&outbound, wanted(&source, start, Some(&known))).await.unwrap();
        assert_eq!(&got.bytes[..], &content()[start as usize..][..1000]);
    }
    assert_eq!(api.seen.count(), 1);
    let requests = storage.seen.requests();
    assert_eq!(requests.len(), 3);
    for (request, first) in requests.iter().zip([0, 1000, 2000]) {
        assert!(request.starts_with("GET /blob?sig=0 "), "{request}");
        assert_eq!(range(request).0, first);
        assert_eq!(header_of(request, "if-match"), Some("\"a\""));
        assert_eq!(header_of(request, "accept"), Some("application/octet-stream"));
    }
    // Another form of the same path is another content.
    part(&outbound, wanted(&super::parts::source("/things/1"), 0, None)).await.unwrap();
    assert_eq!(api.seen.count(), 2);
}

#[tokio::test]
async fn an_address_that_has_expired_is_asked_for_anew() {
    for failing in [403, 404, 400, 412, 500, 200, 0] {
        let (api, storage, outbound) = behind_a_redirect(move |number, request| {
            match request.starts_with("GET /blob?sig=0 ") && number > 0 {
                true if failing == 0 => Reply::Reset,
                true => answer(failing, "", "expired"),
                false => ranged(request, &content(), "ETag: \"a\"\r\n"),
            }
        })
        .await;
        let source = source("/things/1");
        for start in [0, 1000, 2000] {
            let got = part(&outbound, wanted(&source, start, None)).await.unwrap();
            assert_eq!(&got.bytes[..], &content()[start as usize..][..1000], "{failing}");
        }
        assert_eq!(api.seen.count(), 2, "{failing}");
        assert!(storage.seen.requests().last().unwrap().starts_with("GET /blob?sig=1 "));
    }
}

#[tokio::test]
async fn what_is_behind_a_redirect_is_read_on_where_the_endpoints_rate_limit_is_used_up() {
    let storage = Server::start(|_, request| ranged(request, &content(), "")).await;
    let url = storage.url();
    let api = Server::start(move |_, _| {
        let spent = "X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Resource: core\r\nX-RateLimit-Reset: 33000000000\r\n";
        answer(302, &format!("Location: {url}/blob\r\n{spent}"), "")
    })
    .await;
    let mut setup = setup(&api.url());
    setup.overrides.get_mut("api").unwrap().redirect_hosts.push(storage.url());
    let outbound = Outbound::new(setup).unwrap();
    let one = source("/things/1");
    part(&outbound, wanted(&one, 0, None)).await.unwrap();
    part(&outbound, wanted(&one, 1000, None)).await.unwrap();
    let other = source("/things/2");
    assert_eq!(cause(&outbound, wanted(&other, 0, None)).await, Cause::RateLimited);
}
