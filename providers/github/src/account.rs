//! Accounts: the user's own and organizations are listed, any other can be looked up.

use crate::api::{self, Account, Repository, github};
use crate::{Id, repo};
use omnifs_sdk::http::if_any;
use omnifs_sdk::*;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Repositories that come along with an account: as many as GitHub's own page has.
const NEWEST: usize = 30;

fn id(account: &Account) -> Id {
    let login = account.login.clone();
    match account.kind.as_str() {
        "Organization" => Id::Org(login),
        _ => Id::User(login),
    }
}

fn entry(account: &Account) -> Entry<Id> {
    Entry::directory(account.login.clone(), id(account))
}

pub fn list() -> Result<Listing<Id>> {
    let user = github::user().send()?;
    if user.status == 403 && !user.is_throttled() {
        return installed(&user.complaint());
    }
    let user = entry(&user.ok()?.json::<Account>()?);
    let bound = 10 * api::PAGE;
    match api::pages(github::user_orgs(), bound, |page: Items<Organization>| page) {
        Ok(orgs) => {
            let mut entries =
                orgs.items.map(|org| Entry::directory(org.login.clone(), Id::Org(org.login)));
            entries.push(user);
            Ok(entries.into())
        }
        // A token may be allowed to know its user and no more.
        Err(Error::Denied(why)) => {
            let note = format!("organizations are not listed, and can be opened by name: {why}");
            Ok(Listing::partial(vec![user], note))
        }
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
struct Organization {
    login: String,
}

#[derive(Deserialize)]
struct Installation {
    repositories: Items<Repository>,
}

/// The token is an app's or a workflow's and stands for no user: the owners of the repositories
/// that it was given, where it may know them.
fn installed(why: &str) -> Result<Listing<Id>> {
    let repositories = github::installation_repos();
    let bound = api::listing_bound();
    let owners = |page: Installation| page.repositories.map(|repo| repo.owner);
    let owners = if_any(api::pages(repositories, bound, owners))?.unwrap_or_default().items;
    let named = owners.iter().filter(|owner| !owner.login.is_empty());
    let owners: BTreeMap<&str, &Account> = named.map(|o| (o.login.as_str(), o)).collect();
    let entries: Vec<_> = owners.into_values().map(entry).collect();
    let note =
        format!("the token stands for no user, and any account can be opened by name: {why}");
    Ok(Listing::partial(entries, note))
}

pub fn find(name: &str) -> Result<Entry<Id>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 100 || !name.bytes().all(plain) {
        return Err(Error::NotFound);
    }
    // Its repositories tell what the account is, and are what is looked up next. It may show none.
    let newest = github::account_repos(name).query("sort", "pushed").query("per_page", NEWEST);
    let newest: Items<Repository> = newest.json()?;
    let owner = newest.iter().map(|repo| &repo.owner);
    let mut owner =
        owner.filter(|owner| owner.login.eq_ignore_ascii_case(name) && !owner.kind.is_empty());
    let Some(account) = owner.next() else { return Ok(entry(&github::account(name).json()?)) };
    let repos = newest.iter().map(|repo| repo::entry(&repo.name, repo)).collect();
    preload::part(id(account), repos);
    Ok(entry(account))
}
