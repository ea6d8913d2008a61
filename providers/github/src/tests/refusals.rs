//! What GitHub refuses, switches off, or answers in place of what was asked for.

use super::*;
use omnifs_sdk::Error;

/// What reading `_issues/_open/1/title` comes to where GitHub answers so.
fn refused(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
    let upstream = acme().answer(&format!("GET {REPO}/issues/1"), status, headers, body);
    mount(upstream).read("acme/api/_issues/_open/1/title").unwrap_err()
}

fn denied(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    match refused(status, headers, body) {
        Error::Denied(why) => why,
        other => panic!("{status} is {other:?}"),
    }
}

#[test]
fn a_refusal_says_what_github_says_would_mend_it() {
    let sso = "required; url=https://github.com/orgs/acme/sso?authorization_request=AZS";
    let why = denied(403, &[("x-github-sso", sso)], r#"{"message": "Protected by SAML"}"#);
    assert!(why.contains("https://github.com/orgs/acme/sso?authorization_request=AZS"), "{why}");

    let needs = [("x-accepted-github-permissions", "issues=read; metadata=read")];
    let why = denied(403, &needs, r#"{"message": "Resource not accessible by integration"}"#);
    assert!(why.contains("not accessible") && why.contains("issues=read; metadata=read"), "{why}");

    let list = "Although you appear to have the correct authorization credentials, the `acme` \
                organization has an IP allow list enabled, and your IP address is not permitted \
                to access this resource.";
    let why = denied(403, &[], &json!({ "message": list }).to_string());
    assert!(why.ends_with(list), "{why}");

    let page = "https://github.com/github/dmca/blob/master/2026/01/acme.md";
    let blocked = json!({"message": "Repository access blocked", "block": {"html_url": page}});
    let why = denied(451, &[], &blocked.to_string());
    assert!(why.contains("blocked") && why.ends_with(page), "{why}");
}

#[test]
fn a_403_of_too_many_requests_is_no_refusal() {
    let secondary = json!({
        "message": "You have exceeded a secondary rate limit.",
        "documentation_url": "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits",
    })
    .to_string();
    for (headers, wait) in [
        (&[("retry-after", "7")][..], 7),
        (&[][..], 60),
        (&[("x-accepted-github-permissions", "issues=read")][..], 60),
    ] {
        let error = refused(403, headers, &secondary);
        assert!(matches!(error, Error::RateLimited(Some(s)) if s == wait), "{error:?}");
    }
}

#[test]
fn a_blob_beyond_githubs_limit_is_too_large() {
    let body = r#"{"message": "This API returns blobs up to 100 MB in size.", "errors": [{"resource": "Blob", "field": "data", "code": "too_large"}]}"#;
    let tree = r#"{"tree": [{"path": "big", "mode": "100644", "sha": "b1", "size": 104857601}]}"#;
    let upstream = acme().get(&format!("{REPO}/git/trees/HEAD?recursive=1"), tree).answer(
        &format!("GET {REPO}/git/blobs/b1"),
        403,
        &[],
        body,
    );
    let big = mount(upstream).read("acme/api/_repo/big");
    assert!(matches!(big, Err(Error::TooLarge)), "{big:?}");
}

/// Where GitHub answers the first request of a listing so.
fn off(collection: &str, status: u16, flags: Value) -> Recorded {
    let mut repo = repository("api");
    repo.as_object_mut().unwrap().extend(flags.as_object().unwrap().clone());
    let ask = |query: &str| format!("GET {REPO}/{collection}?{query}");
    let state = "state=open&per_page=100";
    Recorded::new().get(REPO, repo.to_string()).answer(&ask(state), status, &[], "{}")
}

#[test]
fn a_collection_that_is_switched_off_is_an_empty_listing_with_a_note() {
    for (upstream, directory, what) in [
        (off("issues", 410, json!({"has_issues": false})), "_issues/_open", "issues"),
        (off("issues", 404, json!({"has_issues": false})), "_issues/_open", "issues"),
        (off("pulls", 404, json!({"has_pull_requests": false})), "_prs/_open", "pull requests"),
    ] {
        let mount = mount(acme());
        mount.upstream_changes(upstream);
        assert_eq!(mount.list(&format!("acme/api/{directory}")).unwrap(), [""; 0], "{directory}");
        let partials = mount.partials();
        assert_eq!(partials.len(), 1);
        assert_eq!(partials[0].2, format!("{what} are switched off in this repository"));
    }
}

#[test]
fn a_listing_that_is_not_there_is_never_a_missing_directory_while_the_repository_is() {
    let mount = mount(acme());
    mount.upstream_changes(off("issues", 404, json!({"has_issues": true})));
    let listed = mount.list("acme/api/_issues/_open");
    assert!(matches!(listed, Err(Error::Denied(_))), "{listed:?}");
    mount.upstream_changes(off("issues", 410, json!({"has_issues": true})));
    let listed = mount.list("acme/api/_issues/_open");
    assert!(matches!(listed, Err(Error::Unavailable(_))), "{listed:?}");
    assert!(mount.partials().is_empty());
}

#[test]
fn a_token_that_stands_for_no_user_lists_the_owners_it_was_given_or_says_that_it_cannot() {
    let refused = r#"{"message": "Resource not accessible by integration"}"#;
    let upstream = || acme().answer("GET /user", 403, &[], refused);
    let repositories = "/installation/repositories?per_page=100";
    let given = json!({"total_count": 1, "repositories": [repository("api")]});
    let installed = mount(upstream().get(repositories, given.to_string()));
    assert_eq!(installed.list("").unwrap(), ["acme"]);
    let unknown = mount(upstream().answer(&format!("GET {repositories}"), 403, &[], refused));
    assert_eq!(unknown.list("").unwrap(), [""; 0]);
    for mount in [&installed, &unknown] {
        assert!(mount.partials()[0].2.contains("not accessible by integration"));
        assert_eq!(mount.stat("acme/api").unwrap().id, "repo/7");
    }
    let secondary = r#"{"message": "You have exceeded a secondary rate limit."}"#;
    let limited = acme().answer("GET /user", 403, &[("retry-after", "7")], secondary);
    let listed = mount(limited).list("");
    assert!(matches!(listed, Err(Error::RateLimited(_))), "{listed:?}");
    let unauthorized = mount(acme().answer("GET /user", 401, &[], "{}")).list("");
    assert!(matches!(unauthorized, Err(Error::Denied(_))), "{unauthorized:?}");
}

#[test]
fn what_another_repository_answers_after_a_redirect_is_not_found() {
    let at = |path: &str| [("content-location", path.to_owned())];
    let answer = |upstream: Recorded, path: &str, to: &str, body: Value| {
        let [(name, to)] = at(to);
        upstream.answer(&format!("GET {REPO}/{path}"), 200, &[(name, &to)], body.to_string())
    };
    let mut upstream = acme();
    // Transferred, with the same number there; the same for whatever hangs on a number or an id.
    upstream = answer(upstream, "issues/7", "/repositories/8/issues/7", issue(7, 0));
    upstream = answer(upstream, "pulls/8", "/api/v3/repositories/70/pulls/8", pull(8));
    let comment = comment(9, 1, "issues");
    upstream = upstream.get(&format!("{REPO}/issues/1"), issue(1, 1).to_string());
    upstream = answer(upstream, "issues/comments/9", "/repositories/8/issues/comments/9", comment);
    // Within the repository a redirect is no other object.
    upstream = answer(upstream, "issues/2", "/api/v3/repositories/7/issues/2", issue(2, 0));
    let mount = mount(upstream);
    for path in ["_issues/_all/7/title", "_prs/_all/8/title", "_issues/_open/1/comments/9.md"] {
        let read = mount.read(&format!("acme/api/{path}"));
        assert!(matches!(read, Err(Error::NotFound)), "{path}: {read:?}");
    }
    assert_eq!(mount.read("acme/api/_issues/_all/2/title").unwrap(), "Issue 2\n");
}

#[test]
fn a_repository_named_pull_has_issues_too() {
    let mut said = comment(9, 1, "issues");
    said["html_url"] = json!("https://github.com/acme/pull/issues/1#issuecomment-9");
    let mut on_pull = comment(10, 2, "pull");
    on_pull["html_url"] = json!("https://ghe.example/acme/issues/pull/2#issuecomment-10");
    let upstream = acme()
        .get(&format!("{REPO}/issues/1"), issue(1, 1).to_string())
        .get(&format!("{REPO}/pulls/2"), pull(2).to_string())
        .get(&format!("{REPO}/issues/comments?per_page=100"), list([said, on_pull]))
        .get(&format!("{REPO}/issues?state=all&per_page=1"), list([pull_among_issues(2)]));
    let mount = mount(upstream);
    assert_eq!(mount.list("acme/api/_issues/_open/1/comments").unwrap(), ["9.md"]);
    assert_eq!(mount.list("acme/api/_prs/_open/2/comments").unwrap(), ["10.md"]);
}
