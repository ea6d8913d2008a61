//! Asks the service whose its credentials are.

use super::Outbound;
use crate::credentials::{Chain, Resolved};
use crate::provider::{Probe, Request, Response, Scopes, Upstream};
use serde_json::Value;
use std::sync::Arc;

/// The longest owner's name that is shown, in characters.
const MOST_NAME: usize = 100;

impl Outbound {
    /// Looks every credential up. Asks no service.
    pub async fn look_up(&self) {
        for (_, chain) in &self.shared.credentials {
            // The outcome is in the chain's status.
            let _ = chain.resolve().await;
        }
    }

    /// Looks every credential up and makes the request by which its owner is known, where the provider
    /// states one. What comes of it is in [`credentials`](Outbound::credentials), also of what was done
    /// when this is dropped early.
    pub async fn ask_whose(&self) {
        self.look_up().await;
        for (spec, chain) in &self.shared.credentials {
            if let (Some(probe), Ok(Some(found))) = (&spec.whose, chain.resolve().await) {
                self.ask(probe, spec.scopes.as_ref(), chain, &found).await;
            }
        }
    }

    async fn ask(
        &self,
        probe: &Probe,
        scopes: Option<&Scopes>,
        chain: &Chain,
        found: &Arc<Resolved>,
    ) {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        let request = Request {
            endpoint: probe.endpoint.clone(),
            method: probe.method,
            path: probe.path.clone(),
            headers: probe.body.iter().map(|_| json.clone()).collect(),
            body: probe.body.clone().map(Into::into),
        };
        // A rate limit's last part is for those who read.
        match self.background().fetch(request).await {
            Ok(response) if (200..300).contains(&response.status) => {
                let answer = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
                let name = answer.pointer(&probe.name).and_then(name);
                let silent = || "the service does not say whose it is".to_owned();
                chain.whose(found, name.ok_or_else(silent));
                let lacks = scopes.and_then(|scopes| lacking(scopes, &response));
                chain.lacks(found, lacks.unwrap_or_default());
            }
            Ok(response) => {
                let status = response.status;
                chain.whose(
                    found,
                    Err(format!("the service could not be asked: it answered {status}")),
                );
            }
            Err(failure) => {
                chain.whose(
                    found,
                    Err(format!("the service could not be asked: {}", failure.detail)),
                );
            }
        }
    }
}

/// The scopes that the answer does not name, with what they are for. `None` where it names none at all.
fn lacking(scopes: &Scopes, response: &Response) -> Option<Vec<String>> {
    let named = response.headers.iter().find(|(name, _)| *name == scopes.header)?;
    let has: Vec<_> = named.1.split([',', ' ']).filter(|scope| !scope.is_empty()).collect();
    let lacks = scopes.needed.iter().filter(|scope| {
        !scope.held_by.iter().chain([&scope.name]).any(|name| has.contains(&name.as_str()))
    });
    Some(lacks.map(|scope| format!("{}: {}", scope.name, scope.purpose)).collect())
}

fn name(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let text: String = omnifs_text::printable(&text).chars().take(MOST_NAME).collect();
    (!text.trim().is_empty()).then_some(text)
}
