//! One mounted provider.

use super::call::{self, Answered, Guest};
use super::component::{Component, Loaded, another_version};
use super::convert::{self, Fault};
use super::deferred::Deferred;
use super::feed;
use super::host::{Grants, State, World};
use super::limits::{INSTANCES_MAX, Limits};
use super::manifest;
use crate::names;
use crate::provider::{
    Answer, Cause, Delivery, Failure, Followed, Manifest, Node, Piece, Position, Progress,
    Provider, Reply, Request, ScopedChange, Upstream, Walk, Wanted,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::Semaphore;
use wasmtime::Store;

/// A component under a name, with its settings and its way out.
pub struct Instance {
    component: Deferred,
    grants: Arc<Grants>,
    /// Running calls: [`Limits::in_flight`] permits.
    turns: Semaphore,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.grants.provider)
            .field("component", &self.component)
            .field("free", &self.turns.available_permits())
            .finish()
    }
}

impl Component {
    /// What the component says of itself, asked with nothing granted and checked: every request it
    /// makes meanwhile is denied, it has no settings, and it cannot tell when or how often it is asked.
    pub fn describe(&self) -> Reply<'static, Manifest> {
        let (component, name) = (self.clone().into(), self.name().into());
        let limits = Limits::default();
        let instance = Instance::with(component, name, BTreeMap::new(), None, limits, World::Still);
        // A use like any other, of a component that is in memory: so a future of another kind.
        Box::pin(async move { instance.describe().await })
    }
}

impl Instance {
    /// A provider mounted as `name`. It sees the keys that `manifest` declares, with the value in
    /// `config` or else the declared default. Without `upstream` its requests are denied.
    pub fn new(
        name: &str,
        component: impl Into<Deferred>,
        manifest: &Manifest,
        config: &BTreeMap<String, String>,
        upstream: Option<Arc<dyn Upstream>>,
        limits: Limits,
    ) -> Instance {
        let config = manifest
            .config
            .iter()
            .filter_map(|key| {
                let value = config.get(&key.name).or(key.default.as_ref())?;
                Some((key.name.clone(), value.clone()))
            })
            .collect();
        Instance::with(component.into(), name.into(), config, upstream, limits, World::Real)
    }

    fn with(
        component: Deferred,
        provider: Arc<str>,
        config: BTreeMap<String, String>,
        upstream: Option<Arc<dyn Upstream>>,
        limits: Limits,
        world: World,
    ) -> Instance {
        let turns = Semaphore::new(limits.in_flight.clamp(1, INSTANCES_MAX as usize));
        let memory = AtomicUsize::new(0);
        let grants = Arc::new(Grants { provider, config, upstream, limits, world, memory });
        Instance { component, grants, turns }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.grants.provider
    }

    /// Whether its component is in memory, as it is from its first use on.
    pub fn is_loaded(&self) -> bool {
        self.component.is_loaded()
    }

    async fn loaded(&self) -> Result<Arc<Loaded>, Failure> {
        Ok(self.component.component().await?.0.clone())
    }

    async fn call<T, F>(&self, function: F) -> Result<Answered<T>, Failure>
    where
        F: for<'a> FnOnce(&'a mut Store<State>, &'a wasmtime::component::Instance) -> Guest<'a, T>
            + Send,
    {
        call::call(self.component.component().await?, &self.grants, &self.turns, function).await
    }

    fn refused(&self, fault: Fault) -> Failure {
        Failure {
            provider: self.grants.provider.clone(),
            cause: fault.cause,
            detail: fault.detail,
            retry_after: None,
        }
    }

    async fn describe(&self) -> Result<Manifest, Failure> {
        let loaded = self.loaded().await?;
        let answered = self
            .call(|store, instance| {
                Box::pin(async move {
                    if let Err(error) = check_exports(&loaded, &mut *store, instance) {
                        let detail = another_version(&error);
                        store.data_mut().fault = Some(Fault { cause: Cause::Invalid, detail });
                        return Err(error);
                    }
                    let guest = loaded.manifest.load(&mut *store, instance)?;
                    let description = guest.call_describe(&mut *store).await?;
                    let statements = match &loaded.statements {
                        None => Vec::new(),
                        Some(indices) => {
                            let guest = indices.load(&mut *store, instance)?;
                            guest.call_declared(store).await?
                        }
                    };
                    Ok(Ok((description, statements)))
                })
            })
            .await?;
        let component = self.component.component().await?;
        let (description, statements) = answered.value;
        manifest::check(description, component.imports_http(), component.exports_events())
            .and_then(|manifest| {
                manifest::with_statements(manifest, statements, component.imports_sql())
            })
            .map_err(|fault| self.refused(fault))
    }

    async fn read(&self, node: &str, walk: Option<Walk>) -> Result<Answer<Bytes>, Failure> {
        let (asked, loaded) = (node.to_owned(), self.loaded().await?);
        let answered = self
            .call(move |store, instance| {
                Box::pin(async move {
                    store.data_mut().walk = walk;
                    let guest = loaded.provider.load(&mut *store, instance)?;
                    guest.call_read_file(store, &asked).await
                })
            })
            .await?;
        let value = convert::content(answered.value, node, self.grants.limits.content)
            .map_err(|f| self.refused(f))?;
        convert::consistent(node, false, &[], &answered.offers).map_err(|f| self.refused(f))?;
        let Answered { offers, along, partials, .. } = answered;
        Ok(Answer { value, offers, along, partials })
    }

    fn not_granted(&self) -> Failure {
        let detail = "no endpoint has been granted to this provider".to_owned();
        self.refused(Fault { cause: Cause::Denied, detail })
    }

    async fn events(&self) -> Result<Arc<Loaded>, Failure> {
        let loaded = self.loaded().await?;
        if loaded.events.is_some() {
            return Ok(loaded);
        }
        let detail = "has no feeds: it does not export omnifs:provider/events".into();
        Err(self.refused(Fault { cause: Cause::Invalid, detail }))
    }
}

/// Loading checks the types of all exports, so that a component of another shape is refused when it
/// is described and not at its first read.
fn check_exports(
    loaded: &Loaded,
    store: &mut Store<State>,
    instance: &wasmtime::component::Instance,
) -> wasmtime::Result<()> {
    loaded.manifest.load(&mut *store, instance)?;
    loaded.provider.load(&mut *store, instance)?;
    if let Some(events) = &loaded.events {
        events.load(&mut *store, instance)?;
    }
    if let Some(statements) = &loaded.statements {
        statements.load(&mut *store, instance)?;
    }
    Ok(())
}

/// Calls a function of one of the component's interfaces. A macro, because each interface has a
/// generated type of its own.
macro_rules! guest {
    ($self:ident, $interface:ident, |$guest:ident, $store:ident| $call:expr) => {{
        let loaded = $self.loaded().await?;
        $self.call(move |$store, instance| {
            Box::pin(async move {
                let $guest = loaded.$interface.load(&mut *$store, instance)?;
                $call.await
            })
        })
    }};
    ($self:ident, events?, |$guest:ident, $store:ident| $call:expr) => {{
        let loaded = $self.events().await?;
        $self.call(move |$store, instance| {
            Box::pin(async move {
                let indices = loaded.events.as_ref().ok_or(wasmtime::Error::msg("no feeds"))?;
                let $guest = indices.load(&mut *$store, instance)?;
                $call.await
            })
        })
    }};
}

impl Provider for Instance {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        Box::pin(async move {
            if let Err(refused) = names::admit(name) {
                let detail = format!("{} is no name: {refused}", names::Quoted(name));
                return Err(self.refused(Fault { cause: Cause::NotFound, detail }));
            }
            let (asked, wanted) = (parent.to_owned(), name.to_owned());
            let answered = guest!(self, provider, |guest, store| guest
                .call_lookup_child(store, &asked, &wanted))
            .await?;
            let node = convert::found(answered.value, parent, name).map_err(|f| self.refused(f))?;
            let nodes = std::slice::from_ref(&node);
            convert::fit(nodes, self.grants.limits.content).map_err(|f| self.refused(f))?;
            convert::consistent(parent, true, nodes, &answered.offers)
                .map_err(|f| self.refused(f))?;
            let Answered { offers, along, partials, .. } = answered;
            Ok(Answer { value: node, offers, along, partials })
        })
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        Box::pin(async move {
            let asked = parent.to_owned();
            let answered = guest!(self, provider, |guest, store| guest
                .call_list_children(store, &asked))
            .await?;
            let nodes = convert::listing(answered.value, parent).map_err(|f| self.refused(f))?;
            convert::fit(&nodes, self.grants.limits.content).map_err(|f| self.refused(f))?;
            convert::consistent(parent, true, &nodes, &answered.offers)
                .map_err(|f| self.refused(f))?;
            let Answered { offers, along, partials, .. } = answered;
            Ok(Answer { value: nodes, offers, along, partials })
        })
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        Box::pin(self.read(node, None))
    }

    fn read_ahead<'a>(&'a self, node: &'a str, walk: Walk) -> Reply<'a, Answer<Bytes>> {
        Box::pin(self.read(node, Some(walk)))
    }

    fn read_part<'a>(&'a self, wanted: Wanted<'a>) -> Reply<'a, Piece> {
        Box::pin(async move {
            match &self.grants.upstream {
                Some(upstream) => upstream.part(wanted).await,
                None => Err(self.not_granted()),
            }
        })
    }

    fn follow<'a>(&'a self, request: &'a Request) -> Reply<'a, Followed> {
        Box::pin(async move {
            match &self.grants.upstream {
                Some(upstream) => upstream.follow(request).await,
                None => Err(self.not_granted()),
            }
        })
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        Box::pin(async move {
            let position = feed::position(position);
            let answered =
                guest!(self, events?, |guest, store| guest.call_open(store, &position)).await?;
            Ok(convert::request(answered.value))
        })
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        Box::pin(async move {
            let position = feed::position(position);
            let answered = guest!(self, events?, |guest, store| guest
                .call_line(store, &position, &line))
            .await?;
            feed::progress(answered.value).map_err(|fault| self.refused(fault))
        })
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        Box::pin(async move {
            let position = feed::position(position);
            let answered =
                guest!(self, events?, |guest, store| guest.call_poll(store, &position)).await?;
            feed::progress(answered.value).map_err(|fault| self.refused(fault))
        })
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        Box::pin(async move {
            let delivery = feed::delivery(delivery);
            let answered =
                guest!(self, events?, |guest, store| guest.call_deliver(store, &delivery)).await?;
            feed::scoped(answered.value).map_err(|fault| self.refused(fault))
        })
    }
}
