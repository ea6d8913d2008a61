//! Projects. Two may have one name: the older keeps it, the other shows as `NAME@SLUG`.

use crate::Id;
use crate::api::{OfProject, OfProjects, OfTeam, Page, Project, ask, ask_all, query};
use omnifs_sdk::*;
use serde_json::json;

/// Teams of a project that come along in a listing, less one: as many as were asked for may not be
/// all.
const FEW: usize = 5;

/// Linear's largest page.
const ALL: usize = 250;

pub fn list() -> Result<Listing<Id>> {
    let take = |data: OfProjects<Page<Project>>| data.projects;
    Ok(entries(ask_all(query::PROJECTS, json!({ "teams": FEW }), take)?))
}

pub fn of_team(team: &str) -> Result<Listing<Id>> {
    let take = |data: OfTeam<OfProjects<Page<Project>>>| data.team.projects;
    let variables = json!({ "team": team, "teams": FEW });
    Ok(entries(ask_all(query::TEAM_PROJECTS, variables, take)?))
}

fn entries(mut projects: Items<Project>) -> Listing<Id> {
    projects.retain(|project| project.trashed != Some(true));
    projects.sort_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
    let entry = |mut project: Project| {
        project.teams_asked = FEW;
        Entry::object(&project.name, &project).tie(&project.slug_id)
    };
    projects.map(entry).into()
}

pub fn fetch(id: &str) -> Result<Project> {
    let variables = json!({ "id": id, "teams": ALL });
    let OfProject { mut project } = ask::<OfProject<Project>>(query::PROJECT, variables)?;
    if project.trashed == Some(true) {
        return Err(Error::NotFound);
    }
    project.teams_asked = usize::MAX;
    Ok(project)
}

impl Object for Project {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |p: &Self| scalar(&p.id)).immutable(),
        leaf("name", |p| scalar(&p.name)),
        leaf("description.md", |p| document(p.description.as_str())),
        leaf("content.md", |p| document(p.content.as_deref().unwrap_or_default())),
        leaf("status", |p| scalar(&p.status.name)),
        leaf("priority", |p| scalar(&p.priority_label)),
        leaf("lead", |p| optional(p.lead.as_ref().map(|lead| &lead.display_name))),
        detail("teams", Project::team_keys),
        leaf("start", |p| optional(p.start_date.as_ref())),
        leaf("target", |p| optional(p.target_date.as_ref())),
        leaf("started", |p| optional(p.started_at.as_ref())),
        leaf("completed", |p| optional(p.completed_at.as_ref())),
        leaf("canceled", |p| optional(p.canceled_at.as_ref())),
        leaf("created", |p: &Self| scalar(&p.created_at)),
        leaf("updated", |p| scalar(&p.updated_at)),
        leaf("url", |p| scalar(&p.url)),
        leaf("project.json", json),
    ];

    fn id(&self) -> Id {
        Id::Project(self.id.clone())
    }

    fn modified(&self) -> Option<u64> {
        time::rfc3339_ms(&self.updated_at)
    }
}

impl Project {
    fn team_keys(&self) -> Option<Content> {
        let mut keys: Vec<_> = self.teams.iter().map(|team| &team.key).collect();
        keys.sort_unstable();
        (self.teams.is_whole() && keys.len() < self.teams_asked).then(|| lines(keys))
    }
}
