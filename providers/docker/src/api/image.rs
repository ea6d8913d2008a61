//! One form for the two answers about an image.

use super::*;
use omnifs_sdk::time;

/// An image as both answers show it.
#[derive(Debug)]
pub struct Image {
    pub id: String,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    /// Seconds since the Unix epoch.
    pub created: Option<u64>,
    pub labels: Labels,
    /// The object's own answer.
    pub full: Option<Raw<ImageInspect>>,
}

impl From<ImageSummary> for Image {
    fn from(image: ImageSummary) -> Self {
        Image {
            tags: references(&image.repo_tags),
            digests: references(&image.repo_digests),
            created: u64::try_from(image.created).ok(),
            labels: image.labels,
            id: image.id,
            full: None,
        }
    }
}

impl From<Raw<ImageInspect>> for Image {
    fn from(image: Raw<ImageInspect>) -> Self {
        Image {
            id: image.id.clone(),
            tags: references(&image.repo_tags),
            digests: references(&image.repo_digests),
            created: image.created.as_deref().and_then(time::rfc3339_ms).map(|ms| ms / 1000),
            labels: image.config.labels.clone(),
            full: Some(image),
        }
    }
}

/// Engines write `<none>` for what an image lacks.
fn references(all: &[String]) -> Vec<String> {
    let mut named: Vec<_> =
        all.iter().filter(|name| !name.starts_with("<none>")).cloned().collect();
    named.sort();
    named
}
