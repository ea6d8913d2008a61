//! One provider: its engine, its login.

use super::super::auth::{Checked, keeping, only_endpoint, origin, page, place_logins, shadowed};
use super::super::failure::Failure;
use super::super::{terminal, wait};
use super::Session;
use omnifs::capability;
use omnifs::config::{Instance, InstanceConfig, valid_name};
use omnifs::credentials::{CredentialState, Secret};
use omnifs::host::{self, Keeping};
use omnifs::nearby::Login;
use omnifs::provider::{Credential, Endpoint, Manifest};
use std::path::Path;

/// How often a token may be typed, should the service refuse it.
const TYPED: usize = 5;

fn warn(instance: &str, failure: &Failure) {
    terminal::tell("warning", &format!("{instance}: {}", failure.message));
    failure.hints.iter().for_each(|hint| terminal::tell("note", hint));
}

impl Session<'_> {
    /// Finds what there is for a provider, and switches it off if that is nothing.
    pub(super) fn service(&self, instance: &Instance, all: &[Instance]) -> Result<(), Failure> {
        let name = &instance.name;
        if self.args.without.contains(name) {
            if instance.enabled {
                self.switch(instance, false, "", true)?;
            }
            return Ok(());
        }
        let file = self.token_files.iter().find(|(of, _)| of == name).map(|(_, file)| &**file);
        let url = self.args.url.iter().find(|(of, _)| of == name).map(|(_, url)| &**url);
        let wanted = self.args.with.contains(name) || file.is_some() || url.is_some();
        if !instance.enabled {
            if !wanted {
                let how = format!("the configuration has it switched off; --with {name}");
                return self.say(name, &format!("{how} switches it on"));
            }
            self.switch(instance, true, "", true)?;
        }
        let (_, manifest) = host::described(instance, self.context.cache())?;
        let mut instance = instance.clone();
        self.unasked.set(false);
        let mut found = match url {
            Some(url) => self.place(&mut instance, &manifest, url)?,
            None => self.endpoints(&mut instance, &manifest)?,
        };
        match &manifest.credentials[..] {
            [only] if found => {
                let keeping = keeping(self.context, &instance, &manifest, only);
                found = self.credential(&keeping, only, file)?;
                self.other_places(&keeping, only, all)?;
            }
            [_, _, ..] if found => {
                let how = format!("omnifs auth login {name} --credential NAME");
                self.say(name, &format!("it uses several credentials: {how}"))?;
            }
            _ => {}
        }
        if !found && !wanted && !self.unasked.take() {
            self.switch(&instance, false, ", since nothing was found for it", false)?;
        }
        Ok(())
    }

    /// Where the user says that the service is.
    fn place(
        &self,
        instance: &mut Instance,
        manifest: &Manifest,
        url: &str,
    ) -> Result<bool, Failure> {
        let endpoint = only_endpoint(manifest, &instance.name)?;
        self.write_endpoint(instance, endpoint, url, "", true)
    }

    fn write_endpoint(
        &self,
        instance: &mut Instance,
        key: &str,
        url: &str,
        from: &str,
        sure: bool,
    ) -> Result<bool, Failure> {
        let name = instance.name.clone();
        let shown = capability::shown(url);
        let what = format!("use {shown}{from}: endpoints.{key} in the configuration");
        let done =
            self.step(&name, &what, sure, || self.edit(|editor| editor.endpoint(&name, key, url)))?;
        if done {
            instance.config.endpoints.entry(key.to_owned()).or_default().url = Some(url.to_owned());
        }
        Ok(done)
    }

    /// Whether there is somebody at each endpoint that a user's machine may have.
    fn endpoints(&self, instance: &mut Instance, manifest: &Manifest) -> Result<bool, Failure> {
        let mut found = true;
        for endpoint in manifest.endpoints.iter().filter(|endpoint| endpoint.nearby.is_some()) {
            found &= self.endpoint(instance, endpoint)?;
        }
        Ok(found)
    }

    fn endpoint(&self, instance: &mut Instance, endpoint: &Endpoint) -> Result<bool, Failure> {
        let name = instance.name.clone();
        let configured = instance.config.endpoints.get(&endpoint.name).and_then(|e| e.url.clone());
        if let Some(url) = configured {
            let state = match wait(capability::listening(&url))? {
                Ok(()) => "somebody listens there".to_owned(),
                Err(why) => why,
            };
            let shown = capability::shown(&url);
            self.say(&name, &format!("the configuration has it at {shown}: {state}"))?;
            // The user's own word stands, whatever there is now.
            return Ok(true);
        }
        let variable = endpoint.url_environment.as_deref().unwrap_or_default();
        let of_variable = format!("environment variable {variable}");
        let set = std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        for address in self.machine.addresses(instance, endpoint) {
            let (url, from) = (&address.url, &address.from);
            let shown = capability::shown(url);
            if let Err(why) = wait(capability::listening(url))? {
                // What cannot be an address may be anything, and is not repeated.
                let at = match shown.contains("://") {
                    true => format!("{shown} ({from})"),
                    false => from.clone(),
                };
                self.say(&name, &format!("not {at}: {why}"))?;
                continue;
            }
            let by_variable = set && *from == of_variable;
            // A service does not see the variables of this shell.
            let anyway = match set {
                true => by_variable && self.args.service.is_none(),
                false => *url == endpoint.default_url,
            };
            if anyway {
                let text = format!("{shown} ({from}), where a mount looks for it anyway");
                self.say(&name, &text)?;
                return Ok(true);
            }
            if self.write_endpoint(instance, &endpoint.name, url, &format!(" ({from})"), false)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether there is a login now.
    fn credential(
        &self,
        keeping: &Keeping<'_>,
        credential: &Credential,
        file: Option<&Path>,
    ) -> Result<bool, Failure> {
        let name = &keeping.instance.name;
        if let Some(file) = file {
            let secret = terminal::secret_file(file)?;
            let from = format!("the token of {}", file.display());
            return self.take(keeping, credential, &from, true, || Ok(secret));
        }
        let all = wait(host::ask_whose(keeping.instance, keeping.manifest))??;
        let Some(status) = all.into_iter().find(|status| status.name == credential.name) else {
            return Ok(false);
        };
        let there = status.state != CredentialState::Missing;
        if there {
            self.say(name, &status.summary())?;
            status.detail.iter().try_for_each(|detail| self.say(name, detail))?;
            status
                .lacks
                .iter()
                .try_for_each(|scope| self.say(name, &format!("it lacks {scope}")))?;
        }
        if there && !status.state.is_bad() {
            let variable = status.source.filter(|source| source.starts_with("environment"));
            if let (Some(source), true) = (variable, self.args.service.is_some()) {
                // A service does not see the variables of this shell.
                let secret = || {
                    Ok(wait(host::secret(keeping.instance, keeping.manifest, keeping.credential))??)
                };
                self.take(keeping, credential, &format!("the one from {source}"), false, secret)?;
            }
            return Ok(true);
        }
        if let Err(refused) = keeping.expected() {
            // The user's own file comes first, and is for the user to mend.
            self.say(name, &refused.message)?;
            refused.hint.iter().try_for_each(|hint| self.say(name, hint))?;
            return Ok(true);
        }
        for login in place_logins(keeping, credential, &self.machine)? {
            if self.take_login(keeping, credential, &login)? {
                return Ok(true);
            }
        }
        if self.args.yes || self.args.dry_run {
            if !there && !self.unasked.get() {
                let page = page(keeping, credential)?;
                self.say(name, &format!("no login was found; a token is made at {page}"))?;
            }
            return Ok(there);
        }
        terminal::tell(name, &format!("make a token at {}", page(keeping, credential)?));
        let prompt = format!("{} for {name}, or nothing to leave it out", credential.name);
        for _ in 0..TYPED {
            let tried = match terminal::maybe_secret(&prompt) {
                Ok(None) => return Ok(there),
                Ok(Some(secret)) => {
                    self.take(keeping, credential, "this token", true, || Ok(secret))
                }
                Err(failure) => Err(failure),
            };
            match tried {
                Ok(taken) => return Ok(taken),
                // Another one may be typed, and the providers that follow are still to be asked about.
                Err(failure) => warn(name, &failure),
            }
        }
        Ok(there)
    }

    fn take_login(
        &self,
        keeping: &Keeping<'_>,
        credential: &Credential,
        login: &Login,
    ) -> Result<bool, Failure> {
        let from = format!("the login of {} ({})", login.described(), login.command());
        let secret = || login.secret().map_err(|error| Failure::new(error.to_string()));
        match self.take(keeping, credential, &from, false, secret) {
            Ok(taken) => Ok(taken),
            // Nobody has named this one: there may be another.
            Err(failure) => {
                self.unasked.set(true);
                warn(&keeping.instance.name, &failure);
                Ok(false)
            }
        }
    }

    /// Asks the service about a secret and keeps it.
    fn take(
        &self,
        keeping: &Keeping<'_>,
        credential: &Credential,
        from: &str,
        sure: bool,
        secret: impl FnOnce() -> Result<Secret, Failure>,
    ) -> Result<bool, Failure> {
        let name = &keeping.instance.name;
        let place = keeping.promised()?;
        // What the user has named is looked at in a dry run too; no other program is run by one.
        if sure && self.args.dry_run {
            let checked = Checked::by_service(keeping, credential, secret()?, false)?;
            self.say(name, &format!("would keep {from} in {place}{}", checked.whose()))?;
            checked.warn();
            return Ok(true);
        }
        let what = format!("ask the service whose {from} is, and keep it in {place}");
        self.step(name, &what, sure, || {
            let store = wait(keeping.store())??;
            let checked = Checked::by_service(keeping, credential, secret()?, false)?;
            wait(keeping.keep(&store, &checked.secret))??;
            self.say(name, &format!("kept in {}{}", store.place, checked.whose()))?;
            checked.warn();
            shadowed(self.context, name, credential, &store.place)
        })
    }

    /// An instance for each other host of the same service at which another program is logged in.
    fn other_places(
        &self,
        keeping: &Keeping<'_>,
        credential: &Credential,
        all: &[Instance],
    ) -> Result<(), Failure> {
        let placed: Vec<_> = all
            .iter()
            .chain([keeping.instance])
            .flat_map(|instance| instance.config.endpoints.values())
            .filter_map(|endpoint| origin(endpoint.url.as_deref()?))
            .collect();
        for login in self.machine.logins(keeping.instance, &credential.logins) {
            let Some((endpoint, url)) = &login.endpoint else { continue };
            let name = login.host.to_ascii_lowercase().replace('.', "-");
            let there = origin(url).is_some_and(|origin| placed.contains(&origin));
            // One provider's own instance finds it, not each of its instances.
            let own = keeping.instance.name == keeping.manifest.name;
            if there || !own || !valid_name(&name) || all.iter().any(|i| i.name == name) {
                continue;
            }
            let provider = keeping.manifest.name.clone();
            let mut config =
                InstanceConfig { provider: Some(provider.clone()), ..Default::default() };
            config.endpoints.entry(endpoint.clone()).or_default().url = Some(url.clone());
            let new = Instance { name: name.clone(), config, ..keeping.instance.clone() };
            let what = format!(
                "make an instance of {provider} for {url}, where {} is logged in",
                login.program
            );
            let made = self.step(&name, &what, false, || {
                self.edit(|editor| {
                    editor.provider(&name, &provider);
                    editor.endpoint(&name, endpoint, url);
                })
            })?;
            if made {
                let keeping = Keeping { instance: &new, ..*keeping };
                self.take_login(&keeping, credential, &login)?;
            }
        }
        Ok(())
    }
}
