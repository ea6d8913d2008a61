//! Recorded exchanges.

use crate::bindings::database::omnifs::provider::sql::{Rows, Value as Cell};
use crate::bindings::service::omnifs::provider::http::Response;
use crate::bindings::service::omnifs::provider::types::{Error, Method};
use crate::bindings::service::omnifs::provider::types::{Header, Request};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// An upstream service that answers from recordings, and the settings of the instance.
///
/// A request is known by method, path and query, in the order the provider writes them. One that was
/// recorded several times is answered in that order, and from then on with the last answer. One that
/// was never recorded fails the test.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    answers: BTreeMap<String, VecDeque<Result<Response, Error>>>,
    rows: BTreeMap<String, Result<Rows, Error>>,
    service: Option<Service>,
    pub(crate) config: BTreeMap<String, String>,
}

/// What an upstream service makes of a request line (`POST /graphql`), headers and a body: status,
/// headers with their names in lower case, body.
type Answer = (u16, Vec<(String, String)>, Vec<u8>);

type Serve = dyn Fn(&str, &[(&str, &str)], &[u8]) -> Answer;

#[derive(Clone)]
struct Service(Arc<Serve>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl Recorded {
    pub fn new() -> Self {
        Recorded::default()
    }

    /// Reads exchanges from a JSON array:
    ///
    /// ```json
    /// [{"request": "GET /issues?page=1", "status": 200, "headers": {"link": "..."}, "body": [{"number": 1}]}]
    /// ```
    ///
    /// `status` is 200 and `headers` is empty where absent. `body` is JSON, or a string that is sent
    /// as it stands.
    pub fn from_json(text: &str) -> Self {
        let exchanges: Vec<Value> = serde_json::from_str(text).expect("exchanges are a JSON array");
        exchanges.iter().fold(Recorded::new(), |recorded, exchange| {
            let request = exchange["request"].as_str().expect("an exchange has a `request`");
            let status = exchange["status"].as_u64().unwrap_or(200);
            let status = u16::try_from(status).expect("a status has three digits");
            let headers = exchange["headers"].as_object().into_iter().flatten();
            let headers: Vec<_> = headers
                .map(|(name, value)| (&**name, value.as_str().unwrap_or_default()))
                .collect();
            let body = match &exchange["body"] {
                Value::Null => Vec::new(),
                Value::String(text) => text.clone().into_bytes(),
                json => json.to_string().into_bytes(),
            };
            recorded.answer(request, status, &headers, body)
        })
    }

    /// Adds the answer 200 to `GET path`.
    pub fn get(self, path: &str, body: impl Into<Vec<u8>>) -> Self {
        self.answer(&format!("GET {path}"), 200, &[], body)
    }

    /// Adds an answer to `request` (`GET /path?query`). Header names in lower case.
    pub fn answer(
        mut self,
        request: &str,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let header = |&(name, value): &(&str, &str)| Header {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let headers = headers.iter().map(header).collect();
        let response = Response { status, headers, body: body.into() };
        self.answers.entry(request.to_owned()).or_default().push_back(Ok(response));
        self
    }

    /// The rows of a statement, called as `rows(albums, 10)`.
    pub fn table<const N: usize>(
        mut self,
        call: &str,
        state: &str,
        columns: [&str; N],
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) -> Self {
        let columns = columns.map(str::to_owned).to_vec();
        let rows = rows.into_iter().map(Vec::from).collect();
        self.rows.insert(call.to_owned(), Ok(Rows { columns, rows, state: state.to_owned() }));
        self
    }

    /// A statement fails.
    pub fn no_table(mut self, call: &str, error: Error) -> Self {
        self.rows.insert(call.to_owned(), Err(error));
        self
    }

    pub(crate) fn rows(&self, call: &str) -> Option<Result<Rows, Error>> {
        self.rows.get(call).cloned()
    }

    /// `request` fails before there is an answer.
    pub fn fail(mut self, request: &str, error: Error) -> Self {
        self.answers.entry(request.to_owned()).or_default().push_back(Err(error));
        self
    }

    /// What was not recorded is asked of `service`, which gets the request line, the headers and the
    /// body: a double of the service.
    pub fn otherwise(
        mut self,
        service: impl Fn(&str, &[(&str, &str)], &[u8]) -> Answer + 'static,
    ) -> Self {
        self.service = Some(Service(Arc::new(service)));
        self
    }

    /// A setting of the instance.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The recorded answer, or `None` for a request that was not recorded.
    pub(crate) fn take(&mut self, request: &Request) -> Option<Result<Response, Error>> {
        let line = line(request);
        let Some(answers) = self.answers.get_mut(&line) else {
            let Service(service) = self.service.as_ref()?;
            let headers: Vec<_> =
                request.headers.iter().map(|header| (&*header.name, &*header.value)).collect();
            let (status, headers, body) =
                service(&line, &headers, request.body.as_deref().unwrap_or_default());
            let header = |(name, value)| Header { name, value };
            let headers = headers.into_iter().map(header).collect();
            return Some(Ok(Response { status, headers, body }));
        };
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }

    /// Replaces or adds what `other` holds.
    pub(crate) fn update(&mut self, other: Recorded) {
        self.answers.extend(other.answers);
        self.rows.extend(other.rows);
        self.service = other.service.or(self.service.take());
        self.config.extend(other.config);
    }
}

/// `rows(albums, 10)`.
pub(crate) fn call(statement: &str, values: &[Cell]) -> String {
    let value = |value: &Cell| match value {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Blob(bytes) => format!("x{}", crate::sql::hex(bytes)),
    };
    format!("{statement}({})", values.iter().map(value).collect::<Vec<_>>().join(", "))
}

/// `GET /path?query`.
pub(crate) fn line(request: &Request) -> String {
    let method = match request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
    };
    format!("{method} {}", request.path)
}
