//! Fifty mounts of one service that share answers: three with a kernel, and the rest cores of the same component.

use super::mounts::{SECRET, SOON, TITLE, World, await_told, bus_of};
use super::world::{pace, until};
use futures_util::future::join_all;
use omnifs::cache::Capacity;
use omnifs::capability::validators::Validators;
use omnifs::capability::{Outbound, Override, Setup};
use omnifs::events::bus::answers::{Answers, Share};
use omnifs::events::bus::keys::PublicKey;
use omnifs::events::bus::names::{Pattern, Place};
use omnifs::events::bus::{Fleet, Positions, Rhythm};
use omnifs::events::{FeedSupervisor, Feeds};
use omnifs::provider::{Manifest, Provider, Upstream};
use omnifs::router::{Instance, Router};
use omnifs::runtime::Runtime;
use omnifs::sharing::Sharing;
use omnifs::wasm::{self, Component};
use omnifs_platform::Vfs;
use omnifs_support::tools::{await_content, read};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const MOUNTS: usize = 3;
const CORES: usize = 47;
/// Those that look at the same time. The one that asks must not be kept from it by all the others.
const AT_ONCE: usize = 8;

struct Core {
    runtime: Arc<Runtime>,
    answers: Arc<Answers>,
    _feeds: Feeds,
}

impl Core {
    async fn start(
        world: &World,
        component: &Component,
        digest: &str,
        manifest: &Manifest,
    ) -> Core {
        let kept = Arc::new(Validators::new(1 << 20));
        let mut setup = Setup::new("github", manifest.clone(), kept);
        let storage = vec![world.twin.storage_url().to_owned()];
        let place = Override { redirect_hosts: storage, ..Override::from(world.twin.url()) };
        setup.overrides.insert("api".into(), place);
        let name = manifest.credentials[0].name.clone();
        setup.credential_files.insert(name, world.omnifs.path("config/omnifs/token"));
        // A machine that is slow is waited for.
        setup.limits.total = Duration::from_secs(120);
        let outbound = Outbound::new(setup).unwrap();
        let limits = wasm::Limits {
            wait: Duration::from_secs(120),
            total: Duration::from_secs(120),
            ..wasm::Limits::default()
        };
        let upstream: Arc<dyn Upstream> = Arc::new(outbound.clone());
        let settings = BTreeMap::new();
        let instance = wasm::Instance::new(
            "github",
            component.clone(),
            manifest,
            &settings,
            Some(upstream),
            limits,
        );
        let provider: Arc<dyn Provider> = Arc::new(instance);
        let server = bus_of(world, "mount").await;
        let origin = outbound.status().endpoints[0].url.clone();
        let place = Place::new(&manifest.name, &manifest.version, &origin);
        let wait = Duration::from_secs(60);
        let rhythm = Rhythm { answer: wait, fetch: wait, ..Rhythm::at(wait) };
        let positions = Arc::new(Positions::default());
        let answers = Arc::new(Answers::new(
            server.clone(),
            format!("{} {digest}", place.as_str()),
            Share::Credential,
            rhythm.clone(),
            positions.clone(),
        ));
        let front: Arc<dyn Provider> = Arc::new(Sharing::new(provider.clone(), answers.clone()));
        let root = manifest.root.as_str().into();
        let shown = Instance { name: "github".into(), root, provider: Ok(front) };
        let handle = tokio::runtime::Handle::current();
        let router = Router::new(vec![shown]);
        let runtime = Runtime::new(router, Capacity::default(), UNIX_EPOCH, handle);
        let covered = manifest.feeds.iter().map(|feed| Arc::from(feed.scopes.as_str())).collect();
        runtime.declared("github", covered);
        let key: PublicKey = world.relay_key.parse().unwrap();
        let (keys, scopes) = ([key].into(), [Pattern::new(">").unwrap()].into());
        let fleet = Fleet { server, keys, scopes, rhythm, positions };
        let feeds = FeedSupervisor::start_in_fleet(
            "github",
            provider,
            &manifest.feeds,
            outbound,
            runtime.clone(),
            pace(),
            Some((fleet, place)),
        );
        runtime.set_prover("github", feeds.prover());
        Core { runtime, answers, _feeds: feeds }
    }

    async fn title(&self) -> String {
        let mut handles = vec![self.runtime.root()];
        for name in TITLE.split('/') {
            let parent = *handles.last().unwrap();
            handles.push(self.runtime.lookup(parent, name).await.unwrap().unwrap().handle);
        }
        let open = self.runtime.open(*handles.last().unwrap()).await.unwrap();
        let bytes = self.runtime.read(open.id, 0, 1 << 20).await.unwrap();
        self.runtime.release(open.id);
        handles[1..].iter().for_each(|handle| self.runtime.forget(*handle, 1));
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn is_told(&self) -> bool {
        let scopes = self.runtime.snapshot().scopes;
        scopes.iter().any(|(_, standing)| standing.scope.starts_with("issues:") && standing.live)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_mounts_that_share_answers_one_asks_for_what_a_webhook_told() {
    let Some(world) = tokio::task::block_in_place(|| World::sharing("fleet_fifty")) else {
        return;
    };
    let (_relay, listening) = tokio::task::block_in_place(|| world.relay_for_webhooks());
    world.twin.set_webhook(&format!("http://{listening}/hook/github"), SECRET).unwrap();
    let folder = std::env::var_os("OMNIFS_COMPONENTS").expect("`cargo xtask test` sets it");
    let bytes = fs::read(std::path::Path::new(&folder).join("github.wasm")).unwrap();
    let engine = wasm::Engine::new().unwrap();
    let component = Component::load(&engine, &bytes, "github", None).unwrap();
    let manifest = component.describe().await.unwrap();
    let digest = omnifs::component::digest(&bytes);

    let points: Vec<_> = (0..MOUNTS).map(|at| world.omnifs.path(&format!("mount-{at}"))).collect();
    let mounts: Vec<_> = tokio::task::block_in_place(|| {
        let mount = |point: &std::path::PathBuf| {
            fs::create_dir(point).unwrap();
            world.omnifs.mount_at::<&str>(point, &[]).unwrap()
        };
        points.iter().map(mount).collect()
    });
    let mut cores = Vec::new();
    for _ in 0..CORES {
        cores.push(Core::start(&world, &component, &digest, &manifest).await);
    }
    let before = cores[0].title().await;
    for some in cores.chunks(AT_ONCE) {
        let warm = some.iter().map(async |core| {
            assert_eq!(core.title().await, before);
            until("it is told", async || core.is_told()).await;
            // What was read before it was told is asked for once more.
            assert_eq!(core.title().await, before);
        });
        join_all(warm).await;
    }
    tokio::task::block_in_place(|| {
        for mounted in &mounts {
            assert_eq!(read(&mounted.join(TITLE)), before);
            await_told(mounted);
            assert_eq!(read(&mounted.join(TITLE)), before);
        }
    });
    world.twin.clock().advance(Duration::from_secs(5));
    let seen = world.twin.requests().len();
    let taken = |core: &Core| core.answers.status().taken;
    let before: u64 = cores.iter().map(taken).sum();
    world.twin.retitle("acme/api", 2853, "Asked for once").unwrap();
    for some in cores.chunks(AT_ONCE) {
        let shown = some.iter().map(async |core| {
            until("it is shown", async || core.title().await == "Asked for once\n").await;
        });
        join_all(shown).await;
    }
    tokio::task::block_in_place(|| {
        for mounted in &mounts {
            await_content(&mounted.join(TITLE), "Asked for once\n", SOON);
        }
    });
    let requests = world.twin.requests();
    let lines = |from: usize| requests[from..].iter().map(|r| r.line()).collect::<Vec<_>>();
    let polls = requests.iter().filter(|request| request.path.ends_with("/issues/events"));
    assert_eq!(polls.count(), 1, "{:?}", lines(0));
    let reads = requests[seen..].iter().filter(|r| r.path.ends_with("/issues/2853"));
    assert_eq!(reads.count(), 1, "{:?}", lines(seen));
    let after: u64 = cores.iter().map(taken).sum();
    assert!(after - before >= CORES as u64 - 1, "{}", after - before);
    tokio::task::block_in_place(|| {
        for mounted in &mounts {
            let status = mounted.status().unwrap();
            let providers = status["providers"].as_array().unwrap();
            let github = providers.iter().find(|row| row["name"] == "github").unwrap();
            assert!(github["shared"]["taken"].as_u64().unwrap() > 0, "{github}");
        }
    });
}
