//! What is scraped: a directory for each scrape pool, which is a `job_name` of the configuration. Two targets of a
//! pool may have one `instance`, so the address that is scraped tells them apart.

use crate::Id;
use crate::api::{Target, Targets, data, prometheus};
use omnifs_sdk::poll::digest;
use omnifs_sdk::*;
use std::collections::BTreeMap;

pub struct Shown(Raw<Target>);

impl Object for Shown {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("health", |t| scalar(&t.0.health)),
        leaf("url", |t| scalar(&t.0.scrape_url)),
        leaf("error", |t| optional(Some(&t.0.last_error).filter(|text| !text.is_empty()))),
        leaf("last-scrape", |t| scalar(&t.0.last_scrape)),
        leaf("duration", |t| scalar(t.0.last_scrape_duration)),
        map("labels", |t| t.0.labels.files()),
        leaf("target.json", |t| t.0.json.content(&[])),
    ];

    fn id(&self) -> Id {
        Id::Target(self.0.scrape_pool.clone(), self.0.scrape_url.clone())
    }
}

fn all() -> Result<Items<Raw<Target>>> {
    let mut all = data::<Targets>(prometheus::targets().query("state", "active"))?.active;
    all.sort_by(|a, b| (&a.scrape_pool, &a.scrape_url).cmp(&(&b.scrape_pool, &b.scrape_url)));
    Ok(all)
}

fn entry(target: Raw<Target>) -> Entry<Id> {
    let name = target.labels.get("instance").to_owned();
    let tie = format!("{:08x}", digest::of(&target.scrape_url) >> 32);
    Entry::object(name, &Shown(target)).tie(tie)
}

pub fn pools() -> Result<Listing<Id>> {
    let all = all()?;
    let mut pools: BTreeMap<String, Vec<Entry<Id>>> = BTreeMap::new();
    for target in all.iter() {
        pools.entry(target.scrape_pool.clone()).or_default().push(entry(target.clone()));
    }
    let pool =
        |(name, targets): (String, Vec<_>)| Entry::holding(name.clone(), Id::Pool(name), targets);
    let pools: Vec<_> = pools.into_iter().map(pool).collect();
    Ok(Listing::from(pools).noting(&all))
}

pub fn list(pool: &str) -> Result<Listing<Id>> {
    let mut all = all()?;
    all.retain(|target| target.scrape_pool == pool);
    Ok(all.map(entry).into())
}

pub fn find(pool: &str, url: &str) -> Result<Shown> {
    let is = |target: &Raw<Target>| target.scrape_pool == pool && target.scrape_url == url;
    Ok(Shown(all()?.flat_map(|target| is(&target).then_some(target)).one()?))
}

pub fn table(form: Form) -> Result<Content> {
    let columns = ["health", "pool", "job", "instance", "url", "last-scrape", "error", "labels"];
    let (mut table, all) = (Table::new(columns), all()?);
    for target in all.iter() {
        table.row([
            target.health.as_str().into(),
            target.scrape_pool.as_str().into(),
            target.labels.get("job").into(),
            target.labels.get("instance").into(),
            target.scrape_url.as_str().into(),
            target.last_scrape.as_str().into(),
            target.last_error.as_str().into(),
            target.labels.pairs().into(),
        ]);
    }
    table.noting(&all);
    Ok(table.content(form))
}
