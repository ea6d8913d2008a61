//! GraphQL over an endpoint.

use crate::http::{Request, Response};
use crate::items::{self, Items};
use crate::pages::{self, Pages};
use crate::{Error, Result, content, json as read, log};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Posts `query` with `variables` and answers its data. An error within one item of a list makes
/// that item an odd one (see [`Items`]); any other error is an error of the whole: data with holes
/// is never taken for the truth.
pub fn query<T: DeserializeOwned>(post: Request, query: &str, variables: &Value) -> Result<T> {
    Ok(dated(post, query, variables)?.0)
}

/// As [`query`], with the service's clock: the answer's `Date` in seconds since the Unix epoch.
pub fn dated<T: DeserializeOwned>(
    post: Request,
    query: &str,
    variables: &Value,
) -> Result<(T, Option<u64>)> {
    let response = post.body(&json!({ "query": query, "variables": variables })).send()?;
    // Objects that are not there are told in an answer. This is an address where nothing answers
    // queries, and no reason to take any object for gone.
    if matches!(response.status, 404 | 410) {
        let what = "no GraphQL service is there: check the endpoint's address";
        return Err(Error::Invalid(response.saying(what)));
    }
    // A refusal may come with any status: Linear throttles with 400, GitHub with 200.
    let answer = match response.json::<Answer>() {
        Ok(answer) => answer,
        Err(unreadable) => return Err(response.ok().err().unwrap_or(unreadable)),
    };
    let data = answer.data.as_deref().map_or("null", RawValue::get);
    let errors = answer.errors.unwrap_or_default();
    let withheld = (!errors.is_empty()).then(|| withhold(data, &errors)).flatten();
    if let (None, Some(error)) = (&withheld, errors.into_iter().next()) {
        return Err(error.cause(&response));
    }
    let date = response.date();
    response.ok()?;
    let (data, odd) = read::read(withheld.as_deref().unwrap_or(data))
        .map_err(|why| Error::Invalid(format!("the answer is not as expected: {why}")))?;
    odd.iter().for_each(|why| log::warn(why));
    Ok((data, date))
}

/// One page of a connection: its nodes and where the next page begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection<T> {
    #[serde(bound = "T: DeserializeOwned")]
    pub nodes: Items<T>,
    /// Where it was not asked for there is no next page.
    #[serde(default)]
    page_info: PageInfo,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

/// The nodes of a connection that `take` finds in the data, page after page, until there are
/// `bound` of them. The first query is for the first page, the second one, which has a variable
/// `after`, for those that follow; most often they are the same.
pub fn pages<D: DeserializeOwned, T>(
    post: &Request,
    [first, following]: [&str; 2],
    mut variables: Value,
    bound: usize,
    mut take: impl FnMut(D) -> Connection<T>,
) -> Result<Pages<T>> {
    pages::follow(bound, None::<String>, |after| {
        let text = if after.is_some() { following } else { first };
        if let Some(after) = after {
            variables["after"] = json!(after);
        }
        let Connection { nodes, page_info } = take(query(post.clone(), text, &variables)?);
        let next = page_info.end_cursor.filter(|_| page_info.has_next_page);
        Ok((nodes, next.map(Some)))
    })
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Box<RawValue>>,
    errors: Option<Vec<Complaint>>,
}

/// The data in which each item that an error is about is marked, if every error is about one item
/// of a list and says more than that there were too many requests.
fn withhold(data: &str, errors: &[Complaint]) -> Option<String> {
    let (mut data, _) = read::read::<Value>(data).ok()?;
    for error in errors {
        if error.is_throttling() {
            return None;
        }
        let place = error.path.iter().position(Value::is_u64)?;
        let item = error.path[..=place].iter().try_fold(&mut data, |value, step| match step {
            Value::String(name) => value.get_mut(name),
            step => value.get_mut(usize::try_from(step.as_u64()?).ok()?),
        })?;
        let field: Vec<_> = error.path[place + 1..].iter().filter_map(Value::as_str).collect();
        let said = content::one_line(&error.message);
        *item = items::withhold(item, &format!("{}: {said}", field.join(".")));
    }
    Some(data.to_string())
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    message: String,
    /// GitHub's kind.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Linear's `code` and `type`.
    #[serde(default)]
    extensions: Value,
    /// The field that it is about, from the top of the data: names and places in lists.
    #[serde(default, deserialize_with = "read::null_as_default")]
    path: Vec<Value>,
}

impl Complaint {
    fn kind(&self) -> String {
        let code = self.extensions["code"].as_str();
        let kind = self.kind.as_deref().or(code).or(self.extensions["type"].as_str());
        kind.unwrap_or_default().to_ascii_uppercase()
    }

    fn is_throttling(&self) -> bool {
        matches!(&*self.kind(), "RATE_LIMITED" | "RATELIMITED" | "GRAPHQL_RATE_LIMIT")
    }

    fn cause(self, response: &Response) -> Error {
        let said = content::one_line(&self.message);
        let message = response.saying(&said);
        match self.kind().as_str() {
            "NOT_FOUND" => Error::NotFound,
            _ if self.is_throttling() => Error::RateLimited(response.retry_after()),
            "FORBIDDEN"
            | "INSUFFICIENT_SCOPES"
            | "SAML_FAILURE"
            | "AUTHENTICATION_ERROR"
            | "UNAUTHENTICATED" => Error::Denied(message),
            "INTERNAL_SERVER_ERROR" | "INTERNAL_ERROR" => Error::Unavailable(message),
            _ if said.starts_with("Entity not found") => Error::NotFound,
            _ => match response.clone().ok() {
                Err(error) if response.status != 400 => error,
                _ => Error::Invalid(message),
            },
        }
    }
}
