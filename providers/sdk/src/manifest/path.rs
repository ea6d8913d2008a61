//! What paths a provider shows.

/// Paths of one form; see `wit/manifest.wit` for the pattern.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub pattern: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Of a directory: names of files, and of directories with a `/` at the end.
    pub entries: &'static [&'static str],
    pub example: &'static str,
    /// For the first look at it.
    pub requests: u32,
    /// Of a listing: how many entries one request brings.
    pub page: Option<u32>,
    /// It is asked for at each open, since no feed tells of its changes.
    pub each_open: bool,
    pub search: Search,
}

impl Path {
    /// One that came along with another answer; the rest is filled in by `..`.
    pub const fn new(pattern: &'static str, summary: &'static str, example: &'static str) -> Self {
        Path {
            pattern,
            summary,
            entries: &[],
            example,
            requests: 0,
            page: None,
            each_open: false,
            search: Search::Enter,
        }
    }

    /// One that searches pass over, since other paths show the same objects.
    pub const fn again(
        pattern: &'static str,
        summary: &'static str,
        example: &'static str,
    ) -> Self {
        Path { search: Search::Again, ..Path::new(pattern, summary, example) }
    }

    /// One that searches pass over, since each file of it is a request.
    pub const fn costly(
        pattern: &'static str,
        summary: &'static str,
        example: &'static str,
    ) -> Self {
        Path { requests: 1, search: Search::Costly, ..Path::new(pattern, summary, example) }
    }
}

/// What a search that begins above a path does.
#[derive(Clone, Copy, Debug)]
pub enum Search {
    Enter,
    Again,
    Costly,
}
