//! Acts on changes of the sources as `develop.watch` says: `watch` and `up --watch`.
//!
//! A loop around what every command does: observe, plan, carry out. Only the copying of files is
//! its own.

mod retry;
mod rules;
mod sources;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use compose_model::Project;
use compose_model::names::ServiceName;
use compose_planner::intent::{Build, BuildPolicy, PullPolicy, Recreate, Restart, Up};
use compose_planner::observed::Container;
use compose_planner::{Intent, Observed};
use compose_runtime::port::{Channel, ExecOptions};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::change::{Manner, Watcher, carry_out};
use crate::context::{Context, Scene, Wanted};
use crate::signals::Interrupts;
use retry::Failed;
use rules::{Files, Rule, Work};
use sources::{Changes, Sources};

/// This long without a further change, and files are copied.
const QUIET: Duration = Duration::from_millis(40);
/// This long, and containers are rebuilt, restarted or told: a tool that writes many files makes
/// short pauses.
const LONG_QUIET: Duration = Duration::from_millis(300);
/// Changes do not wait longer for a pause.
const LONGEST: Duration = Duration::from_secs(2);
/// Containers that files are copied into at once.
const AT_ONCE: usize = 4;
/// So many changes at once deserve a word.
const MANY: usize = 1000;

/// How `watch` was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchOptions {
    /// Remove images that a rebuild leaves without a name.
    pub(crate) prune: bool,
    /// No output of builds.
    pub(crate) quiet: bool,
    /// A builder instance.
    pub(crate) builder: String,
    /// Replica counts that override the file.
    pub(crate) scale: BTreeMap<ServiceName, usize>,
    /// Printed between the log lines of containers, with this before each line.
    pub(crate) prefix: String,
}

/// The watch over the sources of a project.
pub(crate) struct Watching {
    rules: Vec<Rule>,
    sources: Sources,
    options: WatchOptions,
    changes: Changes,
    /// When the first and the last notice came that have not been acted on.
    noticed: Option<(Instant, Instant)>,
    /// What has changed so far waits for a longer pause.
    patient: bool,
    failed: Failed,
}

impl Watching {
    /// Begins to watch; what changes from now on is kept until [`Self::batch`] asks for it.
    ///
    /// # Errors
    /// No service has rules, or one cannot be followed.
    pub(crate) fn begin(context: &Context<'_>, project: &Project, options: WatchOptions) -> anyhow::Result<Self> {
        let rules = rules::of_project(project, |warning| context.output.warning(&warning))?;
        if rules.is_empty() {
            bail!("none of the selected services is configured for watch, consider setting a 'develop' section");
        }
        let mut roots: Vec<PathBuf> = rules.iter().map(|rule| rule.path.clone()).collect();
        roots.sort();
        roots.dedup();
        let for_skip = rules.clone();
        let sources = Sources::watch(roots, Box::new(move |directory| rules::skip(&for_skip, directory)))?;
        let (changes, failed) = (Changes::default(), Failed::default());
        Ok(Self { rules, sources, options, changes, noticed: None, patient: false, failed })
    }

    /// Says that it begins to act.
    pub(crate) fn say(&self, context: &Context<'_>, text: &str) -> anyhow::Result<()> {
        Ok(context.output.line(format!("{}{text}", self.options.prefix))?)
    }

    /// Copies what rules with `initial_sync` want in the containers from the beginning.
    pub(crate) async fn initial_sync(
        &mut self,
        context: &Context<'_>,
        scene: &mut Scene,
        only: Option<&[ServiceName]>,
    ) -> anyhow::Result<()> {
        let wanted = |rule: &&Rule| {
            rule.initial_sync && rule.action.syncs() && only.is_none_or(|only| only.contains(&rule.service))
        };
        let mut files: BTreeMap<ServiceName, Files> = BTreeMap::new();
        for rule in self.rules.iter().filter(wanted) {
            files.entry(rule.service.clone()).or_default().copy.extend(rules::everything(rule).copy);
        }
        if files.is_empty() {
            return Ok(());
        }
        scene.look_again(Wanted::CONTAINERS).await?;
        for (service, files) in &files {
            if let Err(error) = copy(scene, service, files).await {
                let written = files.copy.values().cloned().collect();
                self.keep(context, service, &Changes { written, ..Changes::default() }, &error);
            }
        }
        Ok(())
    }

    /// Tells of a failure, and tries again later.
    fn keep(&mut self, context: &Context<'_>, service: &ServiceName, changes: &Changes, error: &anyhow::Error) {
        let message = format!("{error:#}");
        if self.failed.keep(service, changes, &message, Instant::now()) {
            context.output.warning(&format!("Error handling changed files: {message}; it is tried again"));
        }
    }

    /// Waits for changes that mean something, and for the pause after them. Nothing is lost if
    /// this is dropped.
    pub(crate) async fn batch(&mut self) -> anyhow::Result<Batch> {
        loop {
            let quiet = if self.patient { LONG_QUIET } else { QUIET };
            let due = self.noticed.map(|(first, last)| (last + quiet).min(first + LONGEST));
            let due = [due, self.failed.due()].into_iter().flatten().min();
            let pause = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = pause => {}
                () = self.sources.notice() => {
                    let now = Instant::now();
                    self.noticed = Some(self.noticed.map_or((now, now), |(first, _)| (first, now)));
                    continue;
                }
            }
            self.changes.extend(self.sources.look()?);
            let mut work = rules::work(&self.rules, &self.changes, None);
            for (service, changes) in self.failed.with(&self.changes) {
                work.replace(rules::work(&self.rules, &changes, Some(service)));
            }
            if !work.is_empty() && !work.is_light() && !self.patient {
                self.patient = true;
                continue;
            }
            self.patient = false;
            self.noticed = None;
            let changes = std::mem::take(&mut self.changes);
            if !work.is_empty() {
                return Ok(Batch { work, changes });
            }
        }
    }

    /// Does what a batch asks for. Whether a signal cut it short. What goes wrong is told and tried
    /// again; not so a build, or a command that says no: those fail by what is in the files.
    pub(crate) async fn act(
        &mut self,
        context: &Context<'_>,
        scene: &mut Scene,
        batch: Batch,
        interrupts: &mut Interrupts,
        watcher: &mut dyn Watcher,
    ) -> anyhow::Result<bool> {
        let Batch { mut work, changes } = batch;
        let result = self.act_on(context, scene, &mut work, &changes, interrupts, watcher).await;
        scene.lock = None;
        match result {
            Ok(interrupted) => Ok(interrupted),
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => Err(error),
            Err(error) => {
                // What is left of the work had no turn.
                for service in work.services(&self.rules) {
                    self.keep(context, &service, &changes, &error);
                }
                Ok(false)
            }
        }
    }

    async fn act_on(
        &mut self,
        context: &Context<'_>,
        scene: &mut Scene,
        work: &mut Work,
        changes: &Changes,
        interrupts: &mut Interrupts,
        watcher: &mut dyn Watcher,
    ) -> anyhow::Result<bool> {
        if work.sync.values().map(Files::count).sum::<usize>() > MANY {
            self.say(
                context,
                "Large batch of file changes detected. If you just switched branches, this is expected.",
            )?;
        }
        let services = work.services(&self.rules);
        if !work.rebuild.is_empty() {
            let rebuilt: Vec<ServiceName> = std::mem::take(&mut work.rebuild).into_iter().collect();
            match self.rebuild(context, scene, &rebuilt, interrupts, watcher).await {
                Ok(true) => return Ok(true),
                Ok(false) => {
                    self.initial_sync(context, scene, Some(&rebuilt)).await?;
                    // They have just been started.
                    work.restart.retain(|service| !rebuilt.contains(service));
                }
                Err(error) if error.downcast_ref::<std::io::Error>().is_some() => return Err(error),
                // The other services do not have to wait for a file that is right.
                Err(error) => context.output.warning(&format!("Error handling changed files: {error:#}")),
            }
        }
        if !work.sync.is_empty() {
            scene.look_again(Wanted::CONTAINERS).await?;
        }
        let mut failed = BTreeSet::new();
        for (service, files) in std::mem::take(&mut work.sync) {
            let count = files.count();
            self.say(context, &format!("Syncing service {:?} after {count} changes were detected", service.as_str()))?;
            let copied = tokio::select! {
                copied = copy(scene, &service, &files) => copied,
                _ = interrupts.next() => return Ok(true),
            };
            if let Err(error) = copied {
                self.keep(context, &service, changes, &error);
                // Without the files there is nothing to restart for.
                work.leave(&self.rules, &service);
                failed.insert(service);
            }
        }
        if !work.restart.is_empty() {
            let services: Vec<ServiceName> = work.restart.iter().cloned().collect();
            let intent = Intent::Restart(Restart { services: services.clone(), ..Restart::default() });
            scene.take_again(context, Wanted::ALL.to("restart")).await?;
            let manner = Manner { among_logs: true, ..Manner::default() };
            if carry_out(context, scene, intent, &manner, interrupts, watcher).await?.interrupted.is_some() {
                return Ok(true);
            }
            work.restart.clear();
            self.say(context, &format!("service(s) {} restarted", listed(&services)))?;
        }
        if !work.execute.is_empty() {
            scene.look_again(Wanted::CONTAINERS).await?;
        }
        while let Some(index) = work.execute.first().copied() {
            if let Some(rule) = self.rules.get(index) {
                tokio::select! {
                    result = self.execute(context, scene, rule) => result?,
                    _ = interrupts.next() => return Ok(true),
                }
            }
            work.execute.remove(&index);
        }
        for service in services.iter().filter(|service| !failed.contains(*service)) {
            self.failed.done(service);
        }
        Ok(false)
    }

    /// Builds services and replaces their containers. Whether a signal cut it short.
    async fn rebuild(
        &self,
        context: &Context<'_>,
        scene: &mut Scene,
        services: &[ServiceName],
        interrupts: &mut Interrupts,
        watcher: &mut dyn Watcher,
    ) -> anyhow::Result<bool> {
        let names = listed(services);
        self.say(context, &format!("Rebuilding service(s) {names} after changes were detected..."))?;
        scene.take_again(context, Wanted::ALL.to("watch")).await?;
        let before = images(scene, services);
        let build = Intent::Build(Build {
            services: services.to_vec(),
            quiet: self.options.quiet,
            builder: self.options.builder.clone(),
            ..Build::default()
        });
        let manner =
            Manner { among_logs: true, build_is_data: true, quiet_build: self.options.quiet, ..Manner::default() };
        match carry_out(context, scene, build, &manner, interrupts, watcher).await {
            Ok(changed) if changed.interrupted.is_some() => return Ok(true),
            Ok(_) => {}
            Err(error) => {
                self.say(context, &format!("Build failed. Error: {error:#}"))?;
                return Err(error);
            }
        }
        self.say(context, &format!("service(s) {names} successfully built"))?;
        let up = Intent::Up(Up {
            services: services.to_vec(),
            no_dependencies: true,
            recreate: Recreate::Force,
            build: BuildPolicy::Never,
            pull: Some(PullPolicy::Never),
            ignore_orphans: true,
            scale: self.options.scale.clone(),
            ..Up::default()
        });
        scene.take_again(context, Wanted::ALL.to("watch")).await?;
        if carry_out(context, scene, up, &manner, interrupts, watcher).await?.interrupted.is_some() {
            return Ok(true);
        }
        if self.options.prune {
            let after = images(scene, services);
            for id in before.into_iter().filter(|id| !after.contains(id)) {
                // In use by something else, it stays; so does one that has another name.
                if let Ok(Some(image)) = scene.runtime.images().inspect(&id).await
                    && image.tags.is_empty()
                {
                    let _ = scene.runtime.images().remove(&id.as_str().into()).await;
                }
            }
        }
        Ok(false)
    }

    /// Executes the command of a rule in every replica that runs.
    async fn execute(&self, context: &Context<'_>, scene: &Scene, rule: &Rule) -> anyhow::Result<()> {
        let Some(hook) = &rule.hook else { return Ok(()) };
        let options = ExecOptions {
            command: hook.command.clone().unwrap_or_default(),
            environment: hook
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or_default()))
                .collect(),
            user: hook.user.clone(),
            working_dir: hook.working_dir.clone(),
            privileged: hook.privileged,
            ..ExecOptions::default()
        };
        for container in replicas(&scene.observed, &rule.service).filter(|container| container.state.is_up()) {
            let output = context.output;
            let mut sink = |channel: Channel, bytes: &[u8]| match channel {
                Channel::Stdout => output.data(bytes),
                Channel::Stderr => {
                    output.message(bytes);
                    Ok(())
                }
            };
            let (code, _) = sync::execute(scene.runtime.as_ref(), container, &options, &mut sink).await?;
            if code != 0 {
                let name = &container.name;
                context.output.warning(&format!(
                    "exec of {:?} in {name} ended with code {code}",
                    hook.command.as_deref().unwrap_or_default().join(" ")
                ));
            }
        }
        Ok(())
    }
}

/// Changes that mean something.
#[derive(Debug)]
pub(crate) struct Batch {
    work: Work,
    changes: Changes,
}

/// Copies files into every replica.
async fn copy(scene: &Scene, service: &ServiceName, files: &Files) -> anyhow::Result<()> {
    let runtime = scene.runtime.as_ref();
    let copying = futures_util::stream::iter(replicas(&scene.observed, service))
        .map(|container| sync::into_container(runtime, container, files))
        .buffer_unordered(AT_ONCE);
    let results: Vec<anyhow::Result<()>> = copying.collect().await;
    results.into_iter().collect()
}

/// Containers of a service that files go into.
fn replicas<'a>(observed: &'a Observed, service: &'a ServiceName) -> impl Iterator<Item = &'a Container> {
    observed
        .containers
        .iter()
        .filter(move |container| container.service == *service && !container.one_off && container.hook.is_none())
}

/// Images that services have now.
fn images(scene: &Scene, services: &[ServiceName]) -> Vec<String> {
    let project = &scene.project;
    let references = services.iter().filter_map(|name| project.services.get(name));
    let references = references.map(|service| service.image_reference(&project.name).to_string());
    let found = references.filter_map(|reference| {
        scene
            .observed
            .images
            .get(&compose_model::names::ImageRef::from(reference.as_str()))
            .map(|image| image.id.to_string())
    });
    found.collect()
}

/// Names as the reference lists them: `["a" "b"]`.
fn listed(services: &[ServiceName]) -> String {
    let quoted: Vec<String> = services.iter().map(|service| format!("{:?}", service.as_str())).collect();
    format!("[{}]", quoted.join(" "))
}
