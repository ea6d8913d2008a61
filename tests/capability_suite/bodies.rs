//! What the body of a POST may say, where the manifest bounds it: an approval to read is none to call.

use super::server::{Server, answer};
use super::*;
use omnifs::provider::Bodies;

fn bounded(url: &str) -> Setup {
    let mut setup = setup(url);
    setup.manifest.endpoints[0].bodies =
        Some(Bodies { member: "method".to_owned(), values: vec!["list".to_owned()] });
    setup
}

fn saying(body: &'static str) -> Request {
    let kind = ("content-type".to_owned(), "application/json".to_owned());
    Request { headers: vec![kind], ..post(body) }
}

#[tokio::test]
async fn what_a_body_may_not_say_never_leaves() {
    let server = Server::start(|_, _| answer(200, "", "{}")).await;
    let outbound = Outbound::new(bounded(&server.url())).unwrap();
    let list = r#"{"method":"list","params":{"method":"call"}}"#;
    fetch(&outbound, saying(list)).await.unwrap();
    assert!(server.seen.requests()[0].ends_with(list));
    let form = ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned());
    for refused in [
        saying(r#"{"method":"call"}"#),
        saying(r#"{"method":"list","method":"call"}"#),
        saying(r#"{"method":"call","method":"list"}"#),
        saying(r#"{"method":"list","Method":"call"}"#),
        saying(r#"{"method":"list","m\u0065thod":"call"}"#),
        saying(r#"[{"method":"call"}]"#),
        saying(r#"[{"method":"list"},{"method":"call"}]"#),
        saying("{\"method\":\"list\"}\n{\"method\":\"call\"}"),
        saying("method=list&method=call"),
        saying(""),
        Request { body: None, ..saying("") },
        post(list),
        Request { headers: vec![form], ..post(list) },
    ] {
        let shown = format!("{refused:?}");
        let (cause, detail) = fails(&outbound, refused).await;
        assert_eq!(cause, Cause::Denied, "{shown}");
        assert!(detail.contains("the body of a POST"), "{shown}: {detail}");
    }
    // A stream is opened by a request too.
    let call = saying(r#"{"method":"call"}"#);
    let followed = outbound.follow(&call).await.map(|_| ()).expect_err("refused");
    assert_eq!(followed.cause, Cause::Denied);
    assert_eq!(server.seen.count(), 1);
    fetch(&outbound, get("/things/1")).await.unwrap();
}

#[tokio::test]
async fn a_redirect_of_a_post_takes_what_it_says_along() {
    let server = Server::start(|number, _| match number {
        0 => answer(307, "Location: /graphql?again\r\n", ""),
        _ => answer(200, "", "{}"),
    })
    .await;
    let outbound = Outbound::new(bounded(&server.url())).unwrap();
    fetch(&outbound, saying(r#"{"method":"list"}"#)).await.unwrap();
    let seen = server.seen.requests();
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.ends_with(r#"{"method":"list"}"#)));
}
