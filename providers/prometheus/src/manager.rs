//! What an Alertmanager has: the alerts that it received, and silences.

use crate::Id;
use crate::api::{Received, Silence, manager};
use omnifs_sdk::*;

pub struct ShownAlert(Raw<Received>);

impl Object for ShownAlert {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("name", |a| scalar(a.0.labels.get("alertname"))),
        leaf("state", |a| scalar(&a.0.status.state)),
        leaf("starts", |a| scalar(&a.0.starts_at)),
        leaf("ends", |a| scalar(&a.0.ends_at)),
        leaf("receivers", |a| lines(a.0.receivers.iter().map(|one| &one.name))),
        leaf("silenced-by", |a| lines(&a.0.status.silenced_by)),
        leaf("inhibited-by", |a| lines(&a.0.status.inhibited_by)),
        map("labels", |a| a.0.labels.files()),
        map("annotations", |a| a.0.annotations.files()),
        leaf("alert.json", |a| a.0.json.content(&[])),
    ];

    fn id(&self) -> Id {
        Id::ReceivedAlert(self.0.fingerprint.clone())
    }
}

pub struct ShownSilence(Raw<Silence>);

impl Object for ShownSilence {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("state", |s| scalar(&s.0.status.state)),
        leaf("comment", |s| document(s.0.comment.clone())),
        leaf("created-by", |s| scalar(&s.0.created_by)),
        leaf("starts", |s| scalar(&s.0.starts_at)),
        leaf("ends", |s| scalar(&s.0.ends_at)),
        leaf("matchers", |s| lines(s.0.matchers.iter().map(|matcher| matcher.text()))),
        leaf("silence.json", |s| s.0.json.content(&[])),
    ];

    fn id(&self) -> Id {
        Id::Silence(self.0.id.clone())
    }
}

fn received() -> Result<Items<Raw<Received>>> {
    manager::alerts().json()
}

fn kept() -> Result<Items<Raw<Silence>>> {
    manager::silences().json()
}

pub fn alerts() -> Result<Listing<Id>> {
    Ok(received()?.map(|a| Entry::object(a.labels.title(), &ShownAlert(a))).into())
}

pub fn alert(fingerprint: &str) -> Result<ShownAlert> {
    let found = received()?.flat_map(|a| (a.fingerprint == fingerprint).then_some(a));
    Ok(ShownAlert(found.one()?))
}

pub fn silences() -> Result<Listing<Id>> {
    Ok(kept()?.map(|s| Entry::object(s.id.clone(), &ShownSilence(s))).into())
}

pub fn silence(id: &str) -> Result<ShownSilence> {
    Ok(ShownSilence(kept()?.flat_map(|s| (s.id == id).then_some(s)).one()?))
}

pub fn alert_table(form: Form) -> Result<Content> {
    let columns = ["state", "name", "severity", "instance", "starts", "summary", "labels"];
    let (mut table, all) = (Table::new(columns), received()?);
    for alert in all.iter() {
        table.row([
            alert.status.state.as_str().into(),
            alert.labels.get("alertname").into(),
            alert.labels.get("severity").into(),
            alert.labels.get("instance").into(),
            alert.starts_at.as_str().into(),
            alert.annotations.get("summary").into(),
            alert.labels.pairs().into(),
        ]);
    }
    table.noting(&all);
    Ok(table.content(form))
}

pub fn silence_table(form: Form) -> Result<Content> {
    let columns = ["state", "id", "created-by", "starts", "ends", "matchers", "comment"];
    let (mut table, all) = (Table::new(columns), kept()?);
    for silence in all.iter() {
        table.row([
            silence.status.state.as_str().into(),
            silence.id.as_str().into(),
            silence.created_by.as_str().into(),
            silence.starts_at.as_str().into(),
            silence.ends_at.as_str().into(),
            silence.matchers.iter().map(|matcher| matcher.text()).collect::<Vec<_>>().into(),
            silence.comment.as_str().into(),
        ]);
    }
    table.noting(&all);
    Ok(table.content(form))
}
