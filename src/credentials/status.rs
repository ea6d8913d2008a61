//! What is known of a credential, for people. It never holds the secret.

use super::Source;
use serde::{Deserialize, Serialize};

/// One credential of an instance, as `omnifs status` and `omnifs auth status` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialStatus {
    /// As the provider declares it.
    pub name: String,
    pub state: CredentialState,
    /// `file /home/me/token`, `environment variable NAME`, `the system keyring`. Absent:
    /// there is none.
    pub source: Option<String>,
    /// Whose it is, as the service says.
    pub owner: Option<String>,
    /// What is wrong and what to do, or what is not used and why, in one line.
    pub detail: Option<String>,
    /// What it does not allow, by the service's word: `SCOPE: what is not shown without it`.
    #[serde(default)]
    pub lacks: Vec<String>,
}

impl CredentialStatus {
    /// Whether the user has something to do.
    pub fn is_bad(&self) -> bool {
        self.state.is_bad() || !self.lacks.is_empty()
    }

    /// `token from environment variable NAME, of mira`, without the detail.
    pub fn summary(&self) -> String {
        let CredentialStatus { name, state, source, owner, .. } = self;
        let from = source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
        let of = owner.as_ref().map(|owner| format!(", of {owner}")).unwrap_or_default();
        match (state, owner) {
            (CredentialState::Accepted, Some(_)) => format!("{name}{from}{of}"),
            (_, Some(_)) => format!("{name}{from}{of}, {}", state.word()),
            (_, None) => format!("{name}{from} {}", state.word()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialState {
    /// The service took it when it was used last.
    Accepted,
    /// The service does not take it.
    Refused,
    /// What is configured cannot be used.
    Unusable,
    /// There is none.
    Missing,
    /// It was not used yet, or the service could not be asked.
    #[default]
    Unknown,
}

impl CredentialState {
    pub fn word(self) -> &'static str {
        match self {
            CredentialState::Accepted => "is accepted",
            CredentialState::Refused => "is refused",
            CredentialState::Unusable => "cannot be used",
            CredentialState::Missing => "is missing",
            CredentialState::Unknown => "is not proven",
        }
    }

    /// Whether the user has something to do.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            CredentialState::Refused | CredentialState::Unusable | CredentialState::Missing
        )
    }
}

/// What a chain notes of its last use.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub state: CredentialState,
    /// Of the secret that this is about.
    pub fingerprint: Option<u64>,
    pub source: Option<Source>,
    pub owner: Option<String>,
    pub detail: Option<String>,
    pub lacks: Vec<String>,
}
