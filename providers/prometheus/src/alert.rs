//! Alerts as Prometheus has them: what fires, and what will if it lasts. An alert is its labels.

use crate::Id;
use crate::api::{Alert, Alerts, data, prometheus};
use omnifs_sdk::*;

pub struct Shown(Raw<Alert>);

impl Object for Shown {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("name", |a| scalar(a.0.labels.get("alertname"))),
        leaf("state", |a| scalar(&a.0.state)),
        leaf("value", |a| scalar(&a.0.value)),
        leaf("since", |a| optional(a.0.since.as_ref())),
        map("labels", |a| a.0.labels.files()),
        map("annotations", |a| a.0.annotations.files()),
        leaf("alert.json", |a| a.0.json.content(&[])),
    ];

    fn id(&self) -> Id {
        Id::Alert(self.0.labels.key())
    }
}

fn all() -> Result<Items<Raw<Alert>>> {
    Ok(data::<Alerts>(prometheus::alerts())?.alerts)
}

pub fn list(state: &str) -> Result<Listing<Id>> {
    let mut all = all()?;
    all.retain(|alert| alert.state == state);
    Ok(all.map(|alert| Entry::object(alert.labels.title(), &Shown(alert))).into())
}

pub fn find(key: &str) -> Result<Shown> {
    let found = all()?.flat_map(|alert| (alert.labels.key() == key).then_some(alert));
    Ok(Shown(found.one()?))
}

pub fn table(form: Form) -> Result<Content> {
    let columns = ["state", "name", "severity", "instance", "since", "value", "summary", "labels"];
    let (mut table, all) = (Table::new(columns), all()?);
    for alert in all.iter() {
        table.row([
            alert.state.as_str().into(),
            alert.labels.get("alertname").into(),
            alert.labels.get("severity").into(),
            alert.labels.get("instance").into(),
            alert.since.as_deref().into(),
            alert.value.as_str().into(),
            alert.annotations.get("summary").into(),
            alert.labels.pairs().into(),
        ]);
    }
    table.noting(&all);
    Ok(table.content(form))
}
