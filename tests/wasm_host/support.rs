//! What these tests share: the engine, the hostile component, a scripted upstream.

use futures_util::future::BoxFuture;
use omnifs::provider::{
    Answer, Body, Failure, Followed, Node, Piece, Provider, Request, Response, Upstream, Wanted,
};
use omnifs::wasm::{Component, Engine, Instance, Limits};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

pub static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

/// The bytes of a component that xtask has built.
pub fn built(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("OMNIFS_COMPONENTS").unwrap_or_else(|| {
        panic!("OMNIFS_COMPONENTS is not set; run `cargo xtask test`, which builds the components")
    });
    let path = PathBuf::from(folder).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; run `cargo xtask test`, which builds it", path.display())
    })
}

pub static HOSTILE: LazyLock<Component> =
    LazyLock::new(|| Component::load(&ENGINE, &built("hostile"), "hostile", None).unwrap());

/// Short enough for a test, long enough for a loaded machine.
pub fn short() -> Limits {
    Limits {
        cpu: Duration::from_secs(1),
        wait: Duration::from_secs(5),
        total: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// The hostile provider, mounted as `evil`.
pub async fn hostile(limits: Limits, upstream: Option<Arc<dyn Upstream>>) -> Instance {
    let manifest = HOSTILE.describe().await.unwrap();
    let config = BTreeMap::from([
        ("given".to_string(), "by the user".to_string()),
        ("undeclared".to_string(), "never shown".to_string()),
    ]);
    Instance::new("evil", HOSTILE.clone(), &manifest, &config, upstream, limits)
}

/// What listing this directory of the hostile provider comes to.
pub async fn deed(name: &str) -> Result<Answer<Vec<Node>>, Failure> {
    hostile(short(), None).await.list_children(name).await
}

/// The inline text of the one entry.
pub fn only_text(answer: &Answer<Vec<Node>>) -> String {
    let [node] = &answer.value[..] else { panic!("{:?}", answer.value) };
    String::from_utf8(node.content.as_ref().and_then(Body::held).unwrap().to_vec()).unwrap()
}

pub async fn assert_unharmed(instance: &Instance) {
    let names: Vec<_> =
        instance.list_children("good").await.unwrap().value.into_iter().map(|n| n.name).collect();
    assert_eq!(names, ["hello", "inline", "deeper"]);
    assert_eq!(instance.read_file("hello").await.unwrap().value, "hello\n");
}

type Script = dyn Fn(Request) -> BoxFuture<'static, Result<Response, Failure>> + Send + Sync;

/// An upstream that keeps what it was asked and answers by a function.
pub struct Scripted {
    pub asked: Mutex<Vec<Request>>,
    answer: Box<Script>,
}

impl Scripted {
    pub fn new<F>(answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Arc<Scripted>
    where
        F: Future<Output = Result<Response, Failure>> + Send + 'static,
    {
        let answer =
            Box::new(move |request| -> BoxFuture<'static, _> { Box::pin(answer(request)) });
        Arc::new(Scripted { asked: Mutex::default(), answer })
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Upstream for Scripted {
    fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        self.asked.lock().unwrap().push(request.clone());
        (self.answer)(request)
    }

    fn part<'a>(&'a self, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Piece, Failure>> {
        unreachable!("no component of these tests says where {wanted:?} is")
    }

    fn follow<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Followed, Failure>> {
        unreachable!("no component of these tests follows {request:?}")
    }
}

/// Collects what tracing writes while it lives, on this thread.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub fn capture() -> (Lines, tracing::subscriber::DefaultGuard) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// The lines of providers.
    pub fn of_providers(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("omnifs::provider:")).map(Into::into).collect()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
