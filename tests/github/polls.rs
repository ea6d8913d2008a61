//! Which requests of GitHub's provider are polls.

use omnifs_twins::Request;

/// What only polls ask: changes since a time, the newest of an account, a repository by its id, events,
/// labels and milestones, issues by age, runs that are not over.
pub fn is_poll(request: &Request) -> bool {
    let query = request.query.as_deref().unwrap_or_default();
    let by_id = request.path.strip_prefix("/repositories/");
    // `_recent`.
    if query.starts_with("state=all&sort=updated&direction=desc") {
        return false;
    }
    ["since=", "sort=updated", "sort=created", "status="].iter().any(|part| query.contains(part))
        || ["/issues/events", "/labels", "/milestones"]
            .iter()
            .any(|end| request.path.ends_with(end))
        || by_id.is_some_and(|rest| !rest.contains('/'))
}
