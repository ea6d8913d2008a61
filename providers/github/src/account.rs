//! Accounts: the user's own and organizations are listed, any other can be looked up.

use crate::Id;
use crate::api::{self, Account};
use omnifs_sdk::*;

fn entry(account: &Account) -> Entry<Id> {
    let login = account.login.clone();
    let id = match account.kind.as_str() {
        "Organization" => Id::Org(login.clone()),
        _ => Id::User(login.clone()),
    };
    Entry::directory(login, id)
}

pub fn list() -> Result<Listing<Id>> {
    let user: Account = api::get(&["user"]).json()?;
    let mut entries = vec![entry(&user)];
    let orgs = api::get(&["user", "orgs"]);
    match api::pages(&orgs, &[], 10 * api::PAGE, |page: Vec<Account>| page) {
        Ok((orgs, _)) => {
            let org = |org: Account| entry(&Account { kind: "Organization".into(), ..org });
            entries.extend(orgs.into_iter().map(org));
            Ok(entries.into())
        }
        // A token may be allowed to know its user and no more.
        Err(Error::Denied(why)) => {
            let note = format!("organizations are not listed, and can be opened by name: {why}");
            Ok(Listing::partial(entries, note))
        }
        Err(error) => Err(error),
    }
}

pub fn find(name: &str) -> Result<Entry<Id>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 100 || !name.bytes().all(plain) {
        return Err(Error::NotFound);
    }
    Ok(entry(&api::get(&["users", name]).json()?))
}
