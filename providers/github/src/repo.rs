//! Repositories of an account, and `repo.json`.

use crate::Id;
use crate::api::{self, Account, Repository, github};
use omnifs_sdk::http::{Request, if_any};
use omnifs_sdk::*;

pub fn entry(name: &str, repo: &Repository) -> Entry<Id> {
    // Its entries are the same from the first day on.
    Entry::directory(name, Id::Repo(repo.id)).modified(api::ms(&repo.created_at))
}

/// The listing of an account's repositories that shows most: of the token's own account also the
/// private ones.
pub fn all_of(owner: &Id) -> Result<Request> {
    match owner {
        Id::Org(login) => Ok(github::org_repos(login)),
        Id::User(login) => {
            // None without a token, or with one that stands for no user.
            let me = if_any(github::user().json::<Account>())?;
            if me.is_some_and(|me| me.login.eq_ignore_ascii_case(login)) {
                Ok(github::user_repos().query("affiliation", "owner"))
            } else {
                Ok(github::account_repos(login))
            }
        }
        _ => Err(Error::NotFound),
    }
}

pub fn list(owner: &Id) -> Result<Listing<Id>> {
    let request = all_of(owner)?.query("sort", "pushed");
    let repos = api::pages(request, api::listing_bound(), |page: Items<Repository>| page)?;
    Ok(api::listing(repos, "newest repositories", |repo| entry(&repo.name, &repo)))
}

/// A former name leads to the repository as it does at GitHub, which redirects it for as long as
/// nothing else takes it. Another spelling of the present name does not.
pub fn find(owner: &Id, name: &str) -> Result<Entry<Id>> {
    let (Id::User(login) | Id::Org(login)) = owner else { return Err(Error::NotFound) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() > 100 || !name.bytes().all(plain) {
        return Err(Error::NotFound);
    }
    let repo: Raw<Repository> = github::named_repo(login, name).json()?;
    let document = Entry::file("repo.json", Id::RepoJson(repo.id)).content(stable(&repo));
    preload::part(Id::Repo(repo.id), vec![document]);
    let current =
        repo.owner.login.eq_ignore_ascii_case(login) && repo.name.eq_ignore_ascii_case(name);
    Ok(entry(if current { &repo.name } else { name }, &repo))
}

pub fn json(repo: u64) -> Result<Content> {
    Ok(stable(&github::repo(repo).json::<Raw<Repository>>()?))
}

/// Without the token for cloning that GitHub hands to administrators.
fn stable(repo: &Raw<Repository>) -> Content {
    repo.json.content(&[&["temp_clone_token"]])
}
