//! What a reader of the Linear twin meets: queries, pages, filters, budgets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use omnifs_descriptions as check;
use omnifs_twins::linear::TeamShape;
use omnifs_twins::{LinearSetup, LinearTwin, awkward_titles};
use serde_json::{Value, json};
use support::{Reply, graphql, send};

fn big(issues: usize, comments: usize) -> LinearTwin {
    let (key, name) = ("BIG".to_owned(), "Big".to_owned());
    let team = TeamShape { key, name, issues, comments, awkward: true };
    LinearTwin::start(LinearSetup { teams: vec![team], ..LinearSetup::default() }).unwrap()
}

#[track_caller]
fn data(twin: &LinearTwin, query: &str, variables: Value) -> Value {
    let allowed = check::check_linear_query(query);
    assert!(allowed.is_ok(), "Linear would refuse it: {allowed:?}");
    let reply = graphql(twin.url(), query, variables);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    assert!(body.get("errors").is_none(), "{body}");
    body["data"].clone()
}

#[track_caller]
fn refused(twin: &LinearTwin, query: &str, variables: Value) -> String {
    let reply = graphql(twin.url(), query, variables);
    assert_eq!(reply.status, 400, "{}", reply.text());
    reply.json()["errors"][0]["message"].as_str().unwrap().to_owned()
}

const LEAVES: &str = "fragment Leaves on Issue {
  id identifier number title description priority priorityLabel estimate dueDate createdAt
  updatedAt archivedAt url state { id name type } team { id key } assignee { id displayName }
  cycle { number name } project { id name } parent { identifier }
  labels(first: 10) { nodes { name } }
  comments(first: 20) { nodes { id body createdAt updatedAt user { displayName } } }
}";

const PAGE: &str = "query Page($team: String!, $first: Int!, $after: String) {
  issues(first: $first, after: $after, orderBy: updatedAt,
         filter: {team: {key: {eq: $team}}}) {
    nodes { ...Leaves }
    pageInfo { hasNextPage endCursor }
  }
}";

#[test]
fn fifty_issues_with_their_leaves_take_one_query_under_the_limit() {
    let twin = big(120, 80);
    let query = format!("{PAGE}\n{LEAVES}");
    let reply = graphql(twin.url(), &query, json!({"team": "BIG", "first": 50}));
    let cost = reply.number("x-complexity");
    assert!((1_000..10_000).contains(&cost), "{cost}");
    let nodes = &reply.json()["data"]["issues"]["nodes"];
    assert_eq!(nodes.as_array().unwrap().len(), 50);
    assert_eq!(twin.counts().all, 1);
    assert_eq!(twin.points(), cost as u64);
}

#[test]
fn pages_hold_every_issue_once_in_order() {
    let twin = big(120, 0);
    let query = format!("{PAGE}\n{LEAVES}");
    let (mut after, mut seen, mut asked) = (Value::Null, Vec::new(), 0);
    loop {
        let page =
            data(&twin, &query, json!({"team": "BIG", "first": 50, "after": after}))["issues"]
                .clone();
        asked += 1;
        for node in page["nodes"].as_array().unwrap() {
            seen.push((node["updatedAt"].as_str().unwrap().to_owned(), node["identifier"].clone()));
        }
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
        if asked == 1 {
            // A cursor names a place in the order, not an object that may be gone by then.
            let last = seen.last().unwrap().1.as_str().unwrap().to_owned();
            twin.delete_issue(&last).unwrap();
        }
    }
    assert_eq!((asked, seen.len()), (3, 120));
    assert!(seen.is_sorted_by(|a, b| a.0 >= b.0), "newest first");
    let mut names: Vec<_> = seen.iter().map(|(_, name)| name.to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 120);
}

#[test]
fn pages_go_backwards_too_and_have_edges() {
    let twin = big(10, 0);
    let query = "query($last: Int, $before: String) { team(id: \"BIG\") { issues(last: $last, before: $before) {
        edges { cursor node { number } } pageInfo { startCursor hasPreviousPage hasNextPage } } } }";
    let page = data(&twin, query, json!({"last": 4}))["team"]["issues"].clone();
    let numbers = |page: &Value| -> Vec<f64> {
        let edges = page["edges"].as_array().unwrap();
        edges.iter().map(|edge| edge["node"]["number"].as_f64().unwrap()).collect()
    };
    assert_eq!(numbers(&page), [4.0, 3.0, 2.0, 1.0]);
    assert_eq!(page["edges"][0]["cursor"], page["pageInfo"]["startCursor"]);
    let before = &page["pageInfo"]["startCursor"];
    let page = data(&twin, query, json!({"last": 4, "before": before}))["team"]["issues"].clone();
    assert_eq!(numbers(&page), [8.0, 7.0, 6.0, 5.0]);
    assert_eq!(page["pageInfo"]["hasPreviousPage"], true);
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
}

#[test]
fn aliases_fragments_and_directives_work_together() {
    let twin = LinearTwin::demo().unwrap();
    let query = "query Two($one: String!, $more: Boolean = false) {
        first: issue(id: $one) { ...Short  state { name } state { type } }
        second: issue(id: \"ENG-203\") { ... on Node { id } ... { number } __typename
            title @include(if: $more)  description @skip(if: true) }
        viewer { displayName isMe }
    }
    fragment Short on Issue { name: identifier priorityLabel team { key __typename } }";
    let got = data(&twin, query, json!({"one": "ENG-204"}));
    let first = json!({"name": "ENG-204", "priorityLabel": "High",
        "team": {"key": "ENG", "__typename": "Team"},
        "state": {"name": "In Progress", "type": "started"}});
    assert_eq!(got["first"], first);
    let second = got["second"].as_object().unwrap();
    let keys: Vec<_> = second.keys().map(String::as_str).collect();
    assert_eq!(keys, ["__typename", "id", "number"]);
    assert_eq!(got["viewer"], json!({"displayName": "mira", "isMe": true}));
}

#[test]
fn filters_choose_as_linear_does() {
    let twin = LinearTwin::demo().unwrap();
    let found = |filter: &str| -> Vec<String> {
        let query =
            format!("{{ issues(first: 100, filter: {filter}) {{ nodes {{ identifier }} }} }}");
        let nodes = data(&twin, &query, Value::Null)["issues"]["nodes"].clone();
        let mut names: Vec<String> = nodes
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n["identifier"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let open = "{team: {key: {eq: \"ENG\"}}, state: {type: {nin: [\"completed\", \"canceled\"]}}}";
    assert_eq!(found(open), ["ENG-196", "ENG-199", "ENG-201", "ENG-203", "ENG-204"]);
    assert_eq!(found("{number: {eq: 204}}"), ["ENG-204"]);
    assert_eq!(found("{number: {in: [203, 204, 999]}}"), ["ENG-203", "ENG-204"]);
    let id = twin.issue_id("ENG-199").unwrap();
    assert_eq!(found(&format!("{{id: {{eq: \"{id}\"}}}}")), ["ENG-199"]);
    assert_eq!(found("{labels: {name: {eq: \"auth\"}}}"), ["ENG-201", "ENG-204"]);
    assert_eq!(found("{labels: {some: {name: {eqIgnoreCase: \"BUG\"}}}}"), ["ENG-199"]);
    assert_eq!(
        found("{assignee: {null: true}, team: {key: {eq: \"ENG\"}}}"),
        ["ENG-181", "ENG-201"]
    );
    assert_eq!(found("{cycle: {number: {eq: 12}}}"), ["ENG-204"]);
    assert_eq!(
        found("{or: [{priority: {eq: 1}}, {title: {contains: \"TLS\"}}]}"),
        ["ENG-188", "ENG-199", "OPS-17"]
    );
    assert_eq!(found("{comments: {length: {gte: 2}}}"), ["ENG-204"]);
    assert_eq!(found("{project: {name: {startsWith: \"Sign\"}}}"), ["ENG-201", "ENG-204"]);
    assert_eq!(found("{assignee: {isMe: {eq: true}}}"), Vec::<String>::new());
    assert_eq!(found("{creator: {isMe: {eq: true}}, state: {name: {eq: \"Done\"}}}"), ["ENG-188"]);
    let before = twin.value(&format!("issue:{id}")).unwrap()["updated_at"].clone();
    twin.clock().advance(Duration::from_secs(5));
    twin.retitle("ENG-199", "Changed").unwrap();
    let since = twin.value(&format!("issue:{id}")).unwrap()["updated_at"].clone();
    assert_ne!(before, since);
    assert_eq!(found(&format!("{{updatedAt: {{gte: {since}}}}}")), ["ENG-199"]);
    assert!(found(&format!("{{updatedAt: {{gt: {since}}}}}")).is_empty());
    assert_eq!(found("{updatedAt: {gt: \"-PT1M\"}}"), ["ENG-199"], "a duration counts from now");
}

#[test]
fn every_part_of_the_workspace_can_be_read() {
    let twin = LinearTwin::demo().unwrap();
    let got = data(
        &twin,
        "{ organization { name urlKey }
           teams(first: 5) { nodes { key name activeCycle { number } issueCount
             states(first: 9) { nodes { name type position } }
             members(first: 9) { nodes { name } }
             cycles(first: 9) { nodes { number name startsAt endsAt isActive } }
             projects(first: 9) { nodes { name } } labels(first: 9) { nodes { name } } } }
           users(first: 9) { nodes { displayName email active
             assignedIssues(first: 5) { nodes { identifier } } } }
           projects(first: 9) { nodes { name description state status { name type }
             lead { name } progress targetDate issues(first: 5) { nodes { identifier } }
             teams(first: 3) { nodes { key } } } }
           workflowStates(first: 50) { nodes { name team { key } } }
           cycles(first: 9) { nodes { number team { key }
             issues(first: 2) { nodes { identifier estimate priority number } } } }
           issueLabels(first: 9) { nodes { name color isGroup } }
           comments(first: 5, orderBy: updatedAt) { nodes { body issue { identifier }
             user { name } } }
           rateLimitStatus { kind limits { type remainingAmount reset } } }",
        Value::Null,
    );
    assert_eq!(got["cycles"]["nodes"].as_array().unwrap().len(), 6);
    assert!(got.to_string().contains("\"estimate\":3,"), "a whole number has no fraction");
    assert_eq!(got["organization"]["urlKey"], "acme");
    assert_eq!(got["teams"]["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(got["workflowStates"]["nodes"].as_array().unwrap().len(), 12);
    assert_eq!(got["comments"]["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(got["projects"]["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(got["rateLimitStatus"]["limits"].as_array().unwrap().len(), 2);
}

#[test]
fn a_wrong_query_is_refused_with_the_reason() {
    let twin = LinearTwin::demo().unwrap();
    for (query, variables, reason) in [
        (
            "{ issues { nodes { titel } } }",
            json!({}),
            "Cannot query field \"titel\" on type \"Issue\"",
        ),
        ("{ issue { id } }", json!({}), "argument \"id\" of type \"String!\" is required"),
        ("{ issues(frist: 3) { nodes { id } } }", json!({}), "Unknown argument \"frist\""),
        ("{ issues(first: \"3\") { nodes { id } } }", json!({}), "Int cannot represent"),
        (
            "{ issues(filter: {colour: {eq: 1}}) { nodes { id } } }",
            json!({}),
            "not defined by type \"IssueFilter\"",
        ),
        ("{ issues(orderBy: title) { nodes { id } } }", json!({}), "PaginationOrderBy"),
        ("{ viewer }", json!({}), "must have a selection"),
        ("{ viewer { id { x } } }", json!({}), "must not have a selection"),
        ("{ viewer { ...Nope } }", json!({}), "Unknown fragment"),
        ("{ viewer { ... on Issue { id } } }", json!({}), "can never be"),
        ("query($id: String!) { issue(id: $id) { id } }", json!({}), "was not provided"),
        ("query($id: Int!) { issue(id: $id) { id } }", json!({"id": 3}), "expecting type"),
        (
            "query($f: IssueFilter) { issues(filter: $f) { nodes { id } } }",
            json!({"f": {"x": 1}}),
            "not defined",
        ),
        ("{ viewer { id }", json!({}), "Syntax Error"),
        ("mutation { issueDelete(id: \"x\") { success } }", json!({}), "queries only"),
        ("fragment A on User { ...A } { viewer { ...A } }", json!({}), "too deeply"),
    ] {
        let message = refused(&twin, query, variables);
        assert!(message.contains(reason), "{query}\n{message}");
    }
    let many = graphql(twin.url(), "{ issues(first: 251) { nodes { id } } }", Value::Null).json();
    assert!(many["errors"][0]["message"].as_str().unwrap().contains("250"));
    assert_eq!((&many["data"], &many["errors"][0]["path"]), (&Value::Null, &json!(["issues"])));
}

#[test]
fn a_query_over_the_limit_of_complexity_is_refused() {
    let twin = LinearTwin::demo().unwrap();
    let query = "{ issues(first: 100) { nodes { comments(first: 100) { nodes { id body } } } } }";
    let reply = graphql(twin.url(), query, Value::Null);
    assert_eq!(reply.status, 400);
    // 100 x (1 + 100 x (1 + 0.2))
    assert_eq!(reply.number("x-complexity"), 12_100);
    assert!(reply.json()["errors"][0]["message"].as_str().unwrap().contains("too complex"));
    let small =
        graphql(twin.url(), "{ viewer { id name } teams(first: 3) { nodes { id } } }", Value::Null);
    // 1 + 0.2, and 3 x (1 + 0.1), rounded up.
    assert_eq!(small.number("x-complexity"), 5);
}

#[test]
fn both_budgets_are_told_and_their_end_is_400() {
    let twin = LinearTwin::demo().unwrap();
    let ask = || -> Reply { graphql(twin.url(), "{ viewer { id name } }", Value::Null) };
    let first = ask();
    assert_eq!(first.number("x-ratelimit-requests-remaining"), 4_999);
    assert_eq!(first.number("x-ratelimit-complexity-remaining"), 250_000 - 2);
    let reset = first.number("x-ratelimit-complexity-reset");
    assert!(reset - twin.clock().now_ms() > 3_500_000, "epoch milliseconds");
    for limit in [LinearTwin::set_request_limit, LinearTwin::set_complexity_limit] {
        limit(&twin, 1_000, 2);
        assert_eq!(ask().status, 200);
        limit(&twin, 1_000, 0);
        let spent = ask();
        assert_eq!(spent.status, 400);
        assert_eq!(spent.json()["errors"][0]["extensions"]["code"], "RATELIMITED");
        limit(&twin, 250_000, 250_000);
    }
    assert_eq!(ask().status, 200);
}

#[test]
fn a_key_is_taken_raw_or_as_bearer() {
    let twin = LinearTwin::demo().unwrap();
    twin.set_tokens(&["lin_api_right"]);
    let ask = |value: &str| -> Reply {
        let body = json!({"query": "{ viewer { id } }"}).to_string();
        let headers = [("Content-Type", "application/json"), ("Authorization", value)];
        send("POST", &format!("{}/graphql", twin.url()), &headers, body.as_bytes()).unwrap()
    };
    assert_eq!(ask("lin_api_right").status, 200);
    assert_eq!(ask("Bearer lin_api_right").status, 200);
    let wrong = ask("lin_api_wrong");
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.json()["errors"][0]["extensions"]["code"], "AUTHENTICATION_ERROR");
    assert_eq!(graphql(twin.url(), "{ viewer { id } }", Value::Null).status, 401);
    let query = String::from_utf8(twin.requests()[0].body.clone()).unwrap();
    assert!(query.contains("viewer"), "the log keeps what was posted");
}

#[test]
fn archived_issues_are_left_out_unless_asked_for() {
    let twin = LinearTwin::demo().unwrap();
    twin.archive_issue("ENG-204").unwrap();
    let count = |arguments: &str| -> usize {
        let query = format!("{{ issues(first: 100{arguments}) {{ nodes {{ identifier }} }} }}");
        data(&twin, &query, Value::Null)["issues"]["nodes"].as_array().unwrap().len()
    };
    assert_eq!(count(", includeArchived: true"), count("") + 1);
    let one = data(&twin, "{ issue(id: \"ENG-204\") { archivedAt } }", Value::Null);
    assert!(one["issue"]["archivedAt"].is_string());
}

#[test]
fn a_comment_moves_its_own_time_and_the_issues_only_on_demand() {
    let twin = LinearTwin::demo().unwrap();
    let object = format!("issue:{}", twin.issue_id("ENG-204").unwrap());
    let before = twin.value(&object);
    let comment = twin.add_comment("ENG-204", "lars", "Hi").unwrap();
    assert_eq!(twin.value(&object), before);
    twin.set_comments_touch_issue(true);
    twin.edit_comment(&comment, "Hello").unwrap();
    assert_ne!(twin.value(&object), before);
}

#[test]
fn awkward_titles_come_through_byte_for_byte() {
    let twin = big(60, 0);
    let query = "{ team(id: \"BIG\") { issues(first: 100) { nodes { title } } } }";
    let got = data(&twin, query, Value::Null);
    let nodes = got["team"]["issues"]["nodes"].as_array().unwrap();
    for title in awkward_titles() {
        assert!(nodes.iter().any(|node| node["title"] == title.as_str()), "{title:?}");
    }
}
