//! The way out of this machine: straight to the service, or through the user's proxy.
//!
//! A proxy looks a host name up by itself and connects where that leads. So behind one, [`super::address`]
//! judges addresses that are written in a URL, and the proxy those that a name leads to. Nothing is sent through a
//! proxy but requests over TLS, whose content it cannot read, and none to loopback.

use crate::credentials::Environment;
use reqwest::NoProxy;
use url::Url;

/// Whether requests go through a proxy, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// None: the variables of the environment that name one are ignored.
    #[default]
    Direct,
    /// The one that `HTTPS_PROXY` or `ALL_PROXY` names, but for the hosts in `NO_PROXY`.
    Environment,
    /// `http://HOST:PORT`, but for these hosts.
    Proxy { url: String, except: Vec<String> },
}

/// A proxy that is used.
#[derive(Clone, Debug)]
pub(super) struct Via {
    pub proxy: reqwest::Proxy,
    /// Its host, which may have any address: the user has named it.
    pub host: String,
    /// `http://HOST:PORT`.
    pub origin: String,
}

/// Never asked by way of a proxy, whatever the lists say.
const OWN: &str = "localhost,127.0.0.0/8,::1";

/// The variables that name a proxy for requests over TLS, the first that is set counts.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The variable that names a proxy, and its value.
pub fn variable(environment: &Environment) -> Option<(&'static str, String)> {
    let set = |name| environment.get(name).filter(|value| !value.is_empty());
    VARIABLES.into_iter().find_map(|name| Some((name, set(name)?)))
}

/// The proxy of a URL that a user has given.
///
/// # Errors
/// What it must look like, without the URL, which may hold a password.
pub fn parse(text: &str) -> Result<Url, String> {
    // curl's habit: without a scheme it is HTTP.
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let form = || "a proxy is http://HOST:PORT or https://HOST:PORT".to_owned();
    let url = Url::parse(&whole).map_err(|_| form())?;
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        scheme if scheme.starts_with("socks") => Err(format!("{}; SOCKS is not spoken", form())),
        _ => Err(form()),
    }
}

impl Egress {
    pub(super) fn via(&self, environment: &Environment) -> Result<Option<Via>, String> {
        let (url, except) = match self {
            Egress::Direct => return Ok(None),
            Egress::Environment => {
                let Some((name, value)) = variable(environment) else { return Ok(None) };
                let url = parse(&value).map_err(|rule| format!("{name}: {rule}"))?;
                let except = environment.get("NO_PROXY").or_else(|| environment.get("no_proxy"));
                (url, except.unwrap_or_default())
            }
            Egress::Proxy { url, except } => (parse(url)?, except.join(",")),
        };
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let origin = url.origin().ascii_serialization();
        let proxy = reqwest::Proxy::https(url)
            .map_err(|_| format!("{origin} cannot be used as a proxy"))?
            .no_proxy(NoProxy::from_string(&format!("{OWN},{except}")));
        Ok(Some(Via { proxy, host, origin }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&'static str, &'static str)]) -> Environment {
        Environment::from_fn(move |name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_proxy_of_the_environment_counts_only_where_the_configuration_says_so() {
        let set = environment(&[
            ("ALL_PROXY", "proxy.corp:3128"),
            ("https_proxy", "http://u:p@first:80"),
        ]);
        assert!(Egress::Direct.via(&set).unwrap().is_none());
        let via = Egress::Environment.via(&set).unwrap().unwrap();
        assert_eq!((via.host.as_str(), via.origin.as_str()), ("first", "http://first"));
        assert!(Egress::Environment.via(&environment(&[])).unwrap().is_none());
        assert_eq!(parse("proxy.corp:3128").unwrap().as_str(), "http://proxy.corp:3128/");
    }

    #[test]
    fn what_is_no_proxy_says_what_one_looks_like_and_no_password() {
        for text in ["socks5://secret@host", "ftp://secret@host", "http://", "https://se cret"] {
            let rule = parse(text).unwrap_err();
            assert!(rule.contains("http://HOST:PORT") && !rule.contains("cret"), "{rule}");
        }
        let named = Egress::Environment.via(&environment(&[("HTTPS_PROXY", "socks5://h")]));
        assert!(named.unwrap_err().starts_with("HTTPS_PROXY: "));
    }
}
