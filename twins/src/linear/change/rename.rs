//! Changes that move no issue's `updatedAt`, and yet show in issues.

use super::*;

impl LinearTwin {
    /// Gives a label another name.
    pub fn rename_label(&self, label: &str, name: &str) -> Result<()> {
        self.change(&[], |work| {
            let now = work.now;
            let mut labels = work.world.labels.values_mut();
            let found = labels.find(|known| known.name == label);
            let found = found.ok_or_else(|| missing("label", label))?;
            (found.name, found.updated) = (name.to_owned(), now);
            Ok(())
        })
    }

    /// Gives a person another display name.
    pub fn rename_user(&self, user: &str, name: &str) -> Result<()> {
        self.change(&[], |work| {
            let now = work.now;
            let mut users = work.world.users.values_mut();
            let found = users.find(|known| known.display_name == user);
            let found = found.ok_or_else(|| missing("user", user))?;
            (found.display_name, found.updated) = (name.to_owned(), now);
            Ok(())
        })
    }

    /// Gives a team another key, and so each of its issues another identifier.
    pub fn rename_team(&self, key: &str, to: &str) -> Result<()> {
        self.change(&[], |work| {
            let now = work.now;
            let id = work.world.team_by_key(key).ok_or_else(|| missing("team", key))?.id.clone();
            let team = work.world.teams.get_mut(&id).ok_or_else(|| missing("team", key))?;
            (team.key, team.updated) = (to.to_owned(), now);
            let issues: Vec<Issue> =
                work.world.issues.values().filter(|issue| issue.team == id).cloned().collect();
            issues.into_iter().for_each(|issue| work.world.add_issue(issue));
            Ok(())
        })
    }

    /// Takes a person out of a team. Nothing else tells of it.
    pub fn leave_team(&self, user: &str, key: &str) -> Result<()> {
        self.change(&[], |work| {
            let user = generate::user(work.world, user).ok_or_else(|| missing("user", user))?;
            let id = work.world.team_by_key(key).ok_or_else(|| missing("team", key))?.id.clone();
            let team = work.world.teams.get_mut(&id).ok_or_else(|| missing("team", key))?;
            team.members.retain(|member| *member != user);
            Ok(())
        })
    }

    /// Puts an issue into the trash, where its id still answers.
    pub fn trash_issue(&self, issue: &str) -> Result<()> {
        let id = self.issue_id(issue).ok_or_else(|| missing("issue", issue))?;
        self.change(&[format!("issue:{id}")], |work| {
            let now = work.now;
            let issue = work.issue(&id)?;
            (issue.archived, issue.trashed, issue.updated) = (Some(now), true, now);
            work.tell("update", "Issue", &id, Some(json!({ "trashed": null })));
            Ok(())
        })
    }

    /// An edit that comes to light only now, with a time of the past: an answer of a replica that
    /// lagged behind.
    pub fn retitle_late(&self, issue: &str, title: &str, ago: Duration) -> Result<()> {
        let id = self.issue_id(issue).ok_or_else(|| missing("issue", issue))?;
        self.change(&[format!("issue:{id}")], |work| {
            let then = work.now - i64::try_from(ago.as_millis()).unwrap_or(0);
            let issue = work.issue(&id)?;
            (issue.title, issue.updated) = (Text::Given(title.to_owned()), then);
            Ok(())
        })
    }
}
