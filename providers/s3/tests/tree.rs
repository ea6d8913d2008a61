//! The tree over answers of the form that S3's API reference states.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use omnifs_s3::S3;
use omnifs_sdk::bindings::service::omnifs::provider::types::Body;
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Coherence, Error};

const DATE: &str = "2026-03-01T10:00:00.000Z";

fn stored(key: &str, tag: &str, size: u64) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>{DATE}</LastModified><ETag>&quot;{tag}&quot;</ETag>\
         <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
}

fn common(prefix: &str) -> String {
    format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>")
}

fn version(key: &str, id: &str, size: u64) -> String {
    format!(
        "<Version><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>false</IsLatest>\
         <LastModified>{DATE}</LastModified><ETag>&quot;{id}&quot;</ETag><Size>{size}</Size></Version>"
    )
}

fn page(parts: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>photos</Name><Prefix/>{}</ListBucketResult>",
        parts.concat()
    )
}

fn keys(prefix: &str) -> String {
    format!("/photos?list-type=2&delimiter=%2F&prefix={prefix}")
}

fn versions(prefix: &str) -> String {
    format!("/photos?versions=&delimiter=%2F&prefix={prefix}")
}

/// What a lookup of this key is answered.
fn looked(recorded: Recorded, prefix: &str, parts: &[String]) -> Recorded {
    recorded.get(&format!("{}&max-keys=100", keys(prefix)), page(parts))
}

fn service() -> Recorded {
    let buckets = "<ListAllMyBucketsResult><Owner><ID>1</ID></Owner><Buckets><Bucket><Name>photos</Name>\
        <CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>";
    let recorded = Recorded::new()
        .get("/", buckets)
        .get(&format!("{}&max-keys=1", keys("")), page(&[]))
        .get(
            &keys(""),
            page(&[stored("cat.jpg", "c1", 7), stored("2026", "t1", 3), common("2026/")]),
        )
        .get(&keys("2026%2F"), page(&[stored("2026/", "d", 0), stored("2026/a b.txt", "a1", 5)]));
    let recorded = looked(recorded, "cat.jpg", &[stored("cat.jpg", "c1", 7)]);
    let recorded = looked(recorded, "2026", &[stored("2026", "t1", 3), common("2026/")]);
    let recorded = looked(recorded, "2026%2Fa%20b.txt", &[stored("2026/a b.txt", "a1", 5)]);
    looked(recorded, "2026%40object", &[])
}

#[test]
fn keys_show_by_their_slashes() {
    let mount = Mount::<S3>::new(service());
    assert_eq!(mount.list("").unwrap(), ["photos"]);
    assert_eq!(mount.requests(), ["GET /"]);
    // A key that is also the beginning of others gives the name to their directory.
    assert_eq!(mount.list("photos").unwrap(), ["2026", "2026@object", "cat.jpg"]);
    assert_eq!(mount.list("photos/2026").unwrap(), ["a b.txt"]);
    let node = mount.stat("photos/2026/a b.txt").unwrap();
    assert_eq!((node.size, node.version.as_deref()), (Some(5), Some("\"a1\"")));
    assert_eq!(node.modified, Some(1_772_359_200_000));
    assert!(matches!(node.coherence, Coherence::Immutable));
    let Some(Body::At(source)) = node.content else { panic!("{node:?}") };
    assert_eq!(source.request.path, "/photos/2026/a%20b.txt");
    assert_eq!((source.length, source.validator.as_deref()), (5, Some("\"a1\"")));
    let node = mount.stat("photos/2026@object").unwrap();
    let Some(Body::At(source)) = node.content else { panic!("{node:?}") };
    assert_eq!(source.request.path, "/photos/2026");
}

#[test]
fn a_listing_follows_its_tokens_up_to_its_bound() {
    let token = |text: &str| format!("<NextContinuationToken>{text}</NextContinuationToken>");
    let next = |text: &str| format!("{}&continuation-token={text}", keys(""));
    let first = page(&[stored("a", "1", 1), stored("b", "1", 1), token("b/+")]);
    let again = |bound: &str| {
        let recorded = Recorded::new()
            .setting("listing-bound", bound)
            .get(&format!("{}&max-keys=1", keys("")), page(&[]))
            .get(&keys(""), first.clone())
            .get(&next("b%2F%2B"), page(&[stored("d", "1", 1), token("c")]))
            .get(&next("c"), page(&[stored("e", "1", 1)]));
        Mount::<S3>::new(recorded)
    };
    let mount = again("10");
    assert_eq!(mount.list("photos").unwrap(), ["a", "b", "d", "e"]);
    assert_eq!(mount.requests().len(), 4);
    assert!(mount.partials().is_empty());
    let mount = again("3");
    assert_eq!(mount.list("photos").unwrap(), ["a", "b", "d"]);
    assert_eq!(mount.requests().len(), 3);
    assert!(mount.partials()[0].2.contains("listing-bound"), "{:?}", mount.partials());
}

#[test]
fn ten_thousand_objects_are_listed_by_ten_requests() {
    let mut recorded = Recorded::new().get(&format!("{}&max-keys=1", keys("")), page(&[]));
    for number in 0..10 {
        let own = (0..1000).map(|at| stored(&format!("{number}-{at:03}"), "1", 1));
        let next = format!("<NextContinuationToken>{}</NextContinuationToken>", number + 1);
        let parts: Vec<_> = own.chain((number < 9).then_some(next)).collect();
        let path = match number {
            0 => keys(""),
            number => format!("{}&continuation-token={number}", keys("")),
        };
        recorded = recorded.get(&path, page(&parts));
    }
    let mount = Mount::<S3>::new(recorded);
    drop(mount.stat("photos").unwrap());
    mount.requests();
    assert_eq!(mount.list("photos").unwrap().len(), 10_000);
    let asked = mount.requests();
    assert_eq!(asked.iter().filter(|line| !line.contains("max-keys")).count(), 10, "{asked:?}");
    assert!(mount.partials().is_empty());
}

#[test]
fn a_name_before_many_others_is_found_with_one_more_question() {
    let more = "<NextContinuationToken>t</NextContinuationToken>".to_owned();
    let below = format!("{}&max-keys=1", keys("a%2F"));
    let recorded = looked(service(), "a", &[stored("a", "1", 1), stored("a-1", "1", 1), more]);
    let mount = Mount::<S3>::new(recorded.get(&below, page(&[stored("a/x", "1", 1)])));
    assert!(mount.stat("photos/a").unwrap().content.is_none());
    let asked = mount.requests();
    assert!(asked.contains(&format!("GET {below}")), "{asked:?}");
}

#[test]
fn keys_that_are_no_paths_are_left_out_and_counted() {
    let odd = ["a//b", "../x", "c/./d", "_versions"].map(|key| stored(key, "1", 1));
    let parts = [&odd[..], &[common("/"), stored("good", "1", 1)]].concat();
    let recorded = Recorded::new()
        .get(&format!("{}&max-keys=1", keys("")), page(&[]))
        .get(&keys(""), page(&parts));
    let mount = Mount::<S3>::new(recorded);
    assert_eq!(mount.list("photos").unwrap(), ["good"]);
    assert!(mount.partials()[0].2.contains("5 keys"), "{:?}", mount.partials());
    mount.requests();
    for name in [".", "..", "a%2Fb", "%"] {
        assert!(matches!(mount.stat(&format!("photos/{name}")), Err(Error::NotFound)));
    }
    assert_eq!(mount.requests(), [""; 0]);
}

#[test]
fn versions_of_a_key_are_in_a_directory_of_its_name() {
    let all = [version("2026/a.txt", "v2", 2), version("2026/a.txt", "null", 1)];
    let recorded = service()
        .get(&versions(""), page(&[version("cat.jpg", "v1", 7), common("2026/")]))
        .get(&versions("2026"), page(&[common("2026/")]))
        .get(&versions("2026%2F"), page(&all))
        .get(&versions("2026%2Fa.txt"), page(&all))
        .get(&versions("2026%2Fa.txt%2F"), page(&[]));
    let mount = Mount::<S3>::new(recorded);
    assert_eq!(mount.list("photos/_versions").unwrap(), ["2026", "cat.jpg"]);
    assert_eq!(mount.list("photos/_versions/2026").unwrap(), ["a.txt"]);
    assert_eq!(mount.list("photos/_versions/2026/a.txt").unwrap(), ["null", "v2"]);
    let node = mount.stat("photos/_versions/2026/a.txt/v2").unwrap();
    assert!(matches!(node.coherence, Coherence::Immutable));
    let Some(Body::At(source)) = node.content else { panic!("{node:?}") };
    assert_eq!(source.request.path, "/photos/2026/a.txt?versionId=v2");
    // What was stored before there were versions may be replaced: its state is part of the id.
    let node = mount.stat("photos/_versions/2026/a.txt/null").unwrap();
    assert!(node.id.contains("1772359200000"), "{}", node.id);
}

#[test]
fn a_refusal_says_what_the_service_says() {
    let fault = |status: u16, code: &str| {
        let body = format!(
            "<Error><Code>{code}</Code><Message>No.</Message><Region>eu-west-1</Region></Error>"
        );
        let request = format!("GET {}&max-keys=1", keys(""));
        let mount = Mount::<S3>::new(Recorded::new().answer(&request, status, &[], body));
        mount.stat("photos").unwrap_err()
    };
    let Error::Denied(text) = fault(403, "SignatureDoesNotMatch") else { panic!("another error") };
    assert_eq!(text, "s3: 403: SignatureDoesNotMatch: No.");
    assert!(matches!(fault(404, "NoSuchBucket"), Error::NotFound));
    assert!(matches!(fault(503, "SlowDown"), Error::RateLimited(None)));
    assert!(matches!(fault(503, "InternalError"), Error::Unavailable(_)));
    let Error::Invalid(text) = fault(301, "PermanentRedirect") else { panic!("another error") };
    assert!(text.ends_with("it is in the region eu-west-1"), "{text}");
    // Of another form than a bucket has: nobody is asked.
    let mount = Mount::<S3>::new(Recorded::new());
    for name in [".git", "a", "A B C"] {
        assert!(matches!(mount.stat(name), Err(Error::NotFound)));
    }
}
