//! The commands' side of the control channel.

use super::channel::Reached;
use super::{
    Error, MOST_ANSWER, Record, RefreshRequest, Refreshed, Refused, Reloaded, Status,
    UnmountRequest,
};
use reqwest::StatusCode;
use reqwest::header;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Talks to one mount.
#[derive(Debug)]
pub struct Client {
    record: Record,
    http: reqwest::Client,
    _reached: Reached,
}

impl Client {
    pub fn new(record: Record) -> Result<Client, Error> {
        // reqwest wants a TLS provider even where no TLS is spoken. An earlier one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unreached = |error: std::io::Error| Error::Silent {
            mountpoint: record.mountpoint.clone(),
            pid: record.pid,
            why: error.to_string(),
        };
        let reached = Reached::new(&record.channel).map_err(unreached)?;
        let builder = reqwest::Client::builder();
        #[cfg(unix)]
        let builder = builder.unix_socket(reached.path());
        #[cfg(windows)]
        let builder = builder.windows_named_pipe(reached.path());
        let http = builder
            .no_proxy()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .build()
            .map_err(|error| silent(&record, &error))?;
        Ok(Client { record, http, _reached: reached })
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What the mount is doing.
    ///
    /// # Errors
    /// [`Error::Silent`] where it does not answer within 5 seconds.
    pub async fn status(&self) -> Result<Status, Error> {
        self.ask("status", None::<&()>, Duration::from_secs(5)).await
    }

    /// The same as metrics: OpenMetrics text.
    pub async fn metrics(&self) -> Result<String, Error> {
        let text = self.send("metrics", None::<&()>, Duration::from_secs(5)).await?;
        String::from_utf8(text).map_err(|error| self.wrong(error))
    }

    /// Has everything below `path` asked for again.
    pub async fn refresh(&self, path: &str) -> Result<Refreshed, Error> {
        let request = RefreshRequest { path: path.to_owned() };
        self.ask("refresh", Some(&request), Duration::from_secs(70)).await
    }

    /// Has it read its configuration again.
    pub async fn reload(&self) -> Result<Reloaded, Error> {
        self.ask("reload", Some(&()), Duration::from_secs(30)).await
    }

    /// Ends the mount; with `force` also where files are in use.
    ///
    /// # Errors
    /// [`Error::Refused`] where files are in use: it stays mounted.
    pub async fn unmount(&self, force: bool) -> Result<(), Error> {
        // Who forces it has other means where there is no answer, and wants them soon.
        let patience = Duration::from_secs(if force { 5 } else { 20 });
        self.ask("unmount", Some(&UnmountRequest { force }), patience).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        body: Option<&impl Serialize>,
        patience: Duration,
    ) -> Result<T, Error> {
        let answer = self.send(what, body, patience).await?;
        serde_json::from_slice(&answer).map_err(|error| self.wrong(error))
    }

    async fn send(
        &self,
        what: &str,
        body: Option<&impl Serialize>,
        patience: Duration,
    ) -> Result<Vec<u8>, Error> {
        // The host is a word of the protocol only.
        let url = format!("http://omnifs/v1/{what}");
        let request = match body {
            None => self.http.get(url),
            Some(body) => {
                let body = serde_json::to_vec(body).map_err(|error| self.wrong(error))?;
                self.http.post(url).header(header::CONTENT_TYPE, "application/json").body(body)
            }
        };
        let mut response =
            request.timeout(patience).send().await.map_err(|error| silent(&self.record, &error))?;
        let mut body = Vec::new();
        while let Some(part) =
            response.chunk().await.map_err(|error| silent(&self.record, &error))?
        {
            if body.len() + part.len() > MOST_ANSWER {
                return Err(self.wrong("its answer is too long"));
            }
            body.extend_from_slice(&part);
        }
        match response.status() {
            StatusCode::OK => Ok(body),
            StatusCode::CONFLICT => match serde_json::from_slice::<Refused>(&body) {
                Ok(refused) => Err(refused.into()),
                Err(error) => Err(self.wrong(error)),
            },
            status => Err(self.wrong(format!("it answers with status {status}"))),
        }
    }

    fn wrong(&self, why: impl ToString) -> Error {
        let Record { mountpoint, pid, .. } = &self.record;
        Error::Silent { mountpoint: mountpoint.clone(), pid: *pid, why: why.to_string() }
    }
}

fn silent(record: &Record, error: &reqwest::Error) -> Error {
    let why = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        // The outer error repeats the URL; the innermost one says what happened.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        cause.to_string()
    };
    Error::Silent { mountpoint: record.mountpoint.clone(), pid: record.pid, why }
}
