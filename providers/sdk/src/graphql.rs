//! GraphQL over an endpoint.

use crate::http::{Client, Response};
use crate::{Error, Result, content};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Posts `query` with `variables` and answers its data. An answer with any error is an error: data
/// with holes is never taken for the truth.
pub fn query<T: DeserializeOwned>(
    client: Client,
    segments: &[&str],
    query: &str,
    variables: Value,
) -> Result<T> {
    Ok(dated(client, segments, query, variables)?.0)
}

/// As [`query`], with the service's clock: the answer's `Date` in seconds since the Unix epoch.
pub fn dated<T: DeserializeOwned>(
    client: Client,
    segments: &[&str],
    query: &str,
    variables: Value,
) -> Result<(T, Option<u64>)> {
    let body = json!({ "query": query, "variables": variables });
    let response = client.post(segments, &body).send()?;
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
    if let Some(error) = answer.errors.unwrap_or_default().into_iter().next() {
        return Err(error.cause(&response));
    }
    let data = answer.data.unwrap_or(Value::Null);
    let date = response.date();
    response.ok()?;
    let data = T::deserialize(data)
        .map_err(|error| Error::Invalid(format!("the answer is not as expected: {error}")))?;
    Ok((data, date))
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Value>,
    errors: Option<Vec<Complaint>>,
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
}

impl Complaint {
    fn cause(self, response: &Response) -> Error {
        let code = self.extensions["code"].as_str();
        let kind = self.kind.as_deref().or(code).or(self.extensions["type"].as_str());
        let said = content::one_line(&self.message);
        let message = response.saying(&said);
        match kind.unwrap_or_default().to_ascii_uppercase().as_str() {
            "NOT_FOUND" => Error::NotFound,
            "RATE_LIMITED" | "RATELIMITED" | "GRAPHQL_RATE_LIMIT" => {
                Error::RateLimited(response.retry_after())
            }
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
