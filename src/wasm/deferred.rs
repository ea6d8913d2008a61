//! A component that is brought into memory at its first use.
//!
//! Invariant: what a component said of itself when it was described is compared with what it says when it is
//! loaded, before it answers anything. So a mount that recalls a manifest runs nothing that says another.

use super::artifact;
use super::component::{Component, LoadError, Reason};
use super::engine::Engine;
use crate::provider::{Cause, Failure, Manifest};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Reads a component's bytes, for a compiler.
pub type Bytes = Arc<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>;

/// Where a component is found.
#[derive(Clone)]
pub struct Source {
    /// The instance's name, for messages.
    pub name: Arc<str>,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    pub bytes: Bytes,
    /// The directory in which compiled components are kept.
    pub cache: PathBuf,
}

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Loaded(#[from] LoadError),
    #[error(transparent)]
    Described(#[from] Failure),
}

/// A component in memory, or one that will be.
pub struct Deferred {
    loaded: OnceCell<Component>,
    /// How it is loaded, and what it says of itself. None of one that is in memory.
    later: Option<(Engine, Source, Manifest)>,
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("loaded", &self.loaded.get()).finish_non_exhaustive()
    }
}

impl From<Component> for Deferred {
    fn from(component: Component) -> Deferred {
        Deferred { loaded: OnceCell::new_with(Some(component)), later: None }
    }
}

impl Deferred {
    /// Finds what a component says of itself. It is compiled and asked where that was never done by this
    /// program, or is not kept; and stays in memory only where it would have to be compiled once more.
    ///
    /// # Errors
    /// It cannot be loaded, or says nothing that can be used.
    pub async fn open(engine: &Engine, source: Source) -> Result<(Deferred, Manifest), Unusable> {
        let wasm = &engine.shared().wasm;
        if let Some(manifest) = artifact::recall(wasm, &source.digest, &source.cache) {
            return Ok((Deferred::later(engine, source, &manifest), manifest));
        }
        let component = load(engine, &source).await?;
        let manifest = component.describe().await?;
        let deferred = match artifact::remember(wasm, &source.digest, &source.cache, &manifest) {
            true => Deferred::later(engine, source, &manifest),
            false => component.into(),
        };
        Ok((deferred, manifest))
    }

    fn later(engine: &Engine, source: Source, manifest: &Manifest) -> Deferred {
        let later = Some((engine.clone(), source, manifest.clone()));
        Deferred { loaded: OnceCell::new(), later }
    }

    /// Whether it is in memory.
    pub fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// Loads it at the first use. Others wait meanwhile; where it fails, the next use tries again.
    pub(super) async fn component(&self) -> Result<&Component, Failure> {
        self.loaded.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<Component, Failure> {
        // INVARIANT: one that is not in memory has it.
        let (engine, source, manifest) = self.later.as_ref().expect("how it is loaded");
        let failed = |cause, detail| Failure {
            provider: source.name.clone(),
            cause,
            detail,
            retry_after: None,
        };
        let component = load(engine, source).await.map_err(|error| {
            let cause = match error.reason {
                Reason::Slow(_) => Cause::TimedOut,
                _ => Cause::Invalid,
            };
            failed(cause, error.reason.to_string())
        })?;
        match component.describe().await? == *manifest {
            true => Ok(component),
            false => Err(failed(
                Cause::Invalid,
                "it says something else of itself than when the mount began: mount again".into(),
            )),
        }
    }
}

async fn load(engine: &Engine, source: &Source) -> Result<Component, LoadError> {
    let (engine, source) = (engine.clone(), source.clone());
    let name = source.name.clone();
    let loading = spawn_blocking(move || {
        let Source { name, digest, bytes, cache } = source;
        let bytes = move || bytes().map_err(Reason::NotCompiled);
        Component::load_known(&engine, digest, bytes, &name, &cache)
    });
    loading.await.unwrap_or_else(|error| {
        Err(LoadError { provider: name, reason: Reason::NotCompiled(error.to_string()) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider;
    use crate::shipped::SHIPPED;
    use crate::wasm::{Instance, Limits};
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A component that ships, and how often it was unpacked.
    fn shipped(cache: PathBuf) -> Option<(Source, Arc<AtomicUsize>)> {
        let packed = SHIPPED.iter().min_by_key(|packed| packed.unpack().len())?;
        let unpacked = Arc::new(AtomicUsize::new(0));
        let count = unpacked.clone();
        let bytes = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(packed.unpack())
        });
        let source = Source { name: packed.name.into(), digest: packed.digest, bytes, cache };
        Some((source, unpacked))
    }

    #[tokio::test]
    async fn what_was_described_before_is_neither_unpacked_nor_loaded_until_its_first_use() {
        let cache = tempfile::tempdir().unwrap();
        let Some((source, unpacked)) = shipped(cache.path().join("cache")) else { return };
        let engine = Engine::new().unwrap();
        let (first, manifest) = Deferred::open(&engine, source.clone()).await.unwrap();
        assert_eq!((first.is_loaded(), unpacked.load(Ordering::SeqCst)), (false, 1));
        let (second, recalled) = Deferred::open(&engine, source).await.unwrap();
        assert_eq!(recalled, manifest);
        assert!(!second.is_loaded());
        second.component().await.unwrap();
        assert_eq!((second.is_loaded(), unpacked.load(Ordering::SeqCst)), (true, 1));
    }

    #[tokio::test]
    async fn where_nothing_can_be_kept_it_stays_in_memory() {
        let Some((source, unpacked)) = shipped("/proc/no/such".into()) else { return };
        let engine = Engine::new().unwrap();
        let (deferred, _) = Deferred::open(&engine, source).await.unwrap();
        assert!(deferred.is_loaded());
        deferred.component().await.unwrap();
        assert_eq!(unpacked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_component_that_says_something_else_than_was_recalled_answers_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let Some((source, _)) = shipped(cache.path().join("cache")) else { return };
        let engine = Engine::new().unwrap();
        let (_, mut manifest) = Deferred::open(&engine, source.clone()).await.unwrap();
        manifest.summary.push('!');
        let wasm = &engine.shared().wasm;
        assert!(artifact::remember(wasm, &source.digest, &source.cache, &manifest));
        let (deferred, recalled) = Deferred::open(&engine, source).await.unwrap();
        assert_eq!(recalled, manifest);
        let (none, limits) = (BTreeMap::new(), Limits::default());
        let instance = Instance::new("x", deferred, &manifest, &none, None, limits);
        let failure = instance.list_children(&manifest.root).await.unwrap_err();
        assert!(failure.detail.contains("says something else of itself"), "{failure}");
        assert!(!instance.is_loaded());
    }

    #[tokio::test]
    async fn bytes_that_have_changed_since_are_not_compiled() {
        let cache = tempfile::tempdir().unwrap();
        let Some((source, _)) = shipped(cache.path().join("cache")) else { return };
        let engine = Engine::new().unwrap();
        let (deferred, manifest) = Deferred::open(&engine, source.clone()).await.unwrap();
        drop(deferred);
        let changed = Source { bytes: Arc::new(|| Ok(b"\0asm\x0d\0\x01\0".to_vec())), ..source };
        let deferred = Deferred::later(&engine, changed.clone(), &manifest);
        std::fs::remove_dir_all(&changed.cache).unwrap();
        let failure = deferred.component().await.unwrap_err();
        assert!(failure.detail.contains("its file has changed since"), "{failure}");
    }
}
