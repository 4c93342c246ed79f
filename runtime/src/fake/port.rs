//! The port's traits on the in-memory engine.

use std::io::{Cursor, Read as _};

use async_trait::async_trait;
use bytes::Bytes;
use compose_model::names::{ContainerName, ImageRef, NetworkName, VolumeName};
use compose_planner::Capabilities;
use compose_planner::observed::{Container, Observed};
use compose_planner::spec::{BuildSpec, ContainerSpec, EndpointSpec, NetworkSpec, VolumeSpec};
use futures_util::{StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::{CopiedFile, Fake};
use crate::error::{Result, RuntimeError};
use crate::port::{
    AttachOptions, BuildFailure, Builder, Builds, Channel, CommitOptions, Containers, Created, Description,
    EngineEvent, EventQuery, ExecOptions, ExecSession, ImageDescription, ImageSummary, Images, Inspection, Items,
    LogChunk, LogOptions, Networks, ObserveQuery, Outcome, PathStat, ProgressSink, Reader, Runtime, Session, Stats,
    Streams, TransferProgress, VolumeDescription, Volumes,
};

impl Fake {
    /// The name of a container, for the list of calls: names outlive replacements, identities do not.
    fn name_of(&self, container: &str) -> String {
        self.world().find(container).map(|found| found.name.to_string()).unwrap_or_else(|_| container.to_owned())
    }
}

#[async_trait]
impl Runtime for Fake {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn describe(&self) -> Description {
        Description { engine: "fake".to_owned(), address: "memory".to_owned(), ..Description::default() }
    }

    async fn observe(&self, query: &ObserveQuery) -> Result<Observed> {
        Ok(self.glance("observe", query.project.as_str())?.observe(query))
    }

    async fn list_containers(&self, labels: &[(String, Option<String>)]) -> Result<Vec<Container>> {
        let world = self.glance("list", "")?;
        let all = world.containers.values().map(|found| world.describe(found));
        Ok(all.filter(|container| matches(&container.labels, labels)).collect())
    }

    fn containers(&self) -> &dyn Containers {
        self
    }

    fn networks(&self) -> &dyn Networks {
        self
    }

    fn volumes(&self) -> &dyn Volumes {
        self
    }

    fn images(&self) -> &dyn Images {
        self
    }

    fn streams(&self) -> &dyn Streams {
        self
    }

    fn builder(&self) -> Option<&dyn Builder> {
        self.capabilities.build.then_some(self as &dyn Builder)
    }
}

fn matches(there: &std::collections::BTreeMap<String, String>, wanted: &[(String, Option<String>)]) -> bool {
    wanted
        .iter()
        .all(|(key, value)| there.get(key).is_some_and(|there| value.as_ref().is_none_or(|value| value == there)))
}

#[async_trait]
impl Containers for Fake {
    async fn create(&self, spec: &ContainerSpec) -> Result<Created> {
        let _under_way = self.enter("create", "create", spec.name.as_str()).await?;
        Ok(Created { id: self.world().create(spec)?, warnings: Vec::new() })
    }

    async fn start(&self, container: &str) -> Result<Outcome> {
        let _under_way = self.enter("create", "start", &self.name_of(container)).await?;
        self.world().start(container)
    }

    async fn stop(&self, container: &str, _timeout: Option<i64>) -> Result<Outcome> {
        let _under_way = self.enter("remove", "stop", &self.name_of(container)).await?;
        self.world().stop(container)
    }

    async fn restart(&self, container: &str, _timeout: Option<i64>) -> Result<()> {
        let _under_way = self.enter("create", "restart", &self.name_of(container)).await?;
        let mut world = self.world();
        world.stop(container)?;
        world.start(container).map(drop)
    }

    async fn kill(&self, container: &str, signal: &str) -> Result<Outcome> {
        let _under_way = self.enter("remove", "kill", &self.name_of(container)).await?;
        self.world().kill(container, signal)
    }

    async fn pause(&self, container: &str) -> Result<()> {
        let _under_way = self.enter("create", "pause", &self.name_of(container)).await?;
        self.world().pause(container, true)
    }

    async fn unpause(&self, container: &str) -> Result<()> {
        let _under_way = self.enter("create", "unpause", &self.name_of(container)).await?;
        self.world().pause(container, false)
    }

    async fn remove(&self, container: &str, volumes: bool, force: bool) -> Result<Outcome> {
        let _under_way = self.enter("remove", "remove", &self.name_of(container)).await?;
        self.world().remove(container, volumes, force)
    }

    async fn rename(&self, container: &str, to: &ContainerName) -> Result<Outcome> {
        let _under_way = self.enter("create", "rename", &self.name_of(container)).await?;
        self.world().rename(container, to)
    }

    async fn wait(&self, container: &str) -> Result<i64> {
        let name = self.name_of(container);
        let mut calls = self.calls.subscribe();
        loop {
            {
                let world = self.glance("wait", &name)?;
                let seen = world.inspect(container)?;
                if !seen.state.is_up() {
                    return Ok(seen.exit_code);
                }
            }
            calls.mark_unchanged();
            let _ = calls.changed().await;
        }
    }

    async fn inspect(&self, container: &str) -> Result<Inspection> {
        let name = self.name_of(container);
        self.glance("inspect", &name)?.inspect(container)
    }

    async fn commit(&self, container: &str, options: &CommitOptions) -> Result<String> {
        let _under_way = self.enter("create", "commit", &self.name_of(container)).await?;
        let mut world = self.world();
        world.find(container)?;
        let image = ImageRef::from(options.reference.as_str());
        world.add_image(&image);
        Ok(world.images.get(&image).map(ToString::to_string).unwrap_or_default())
    }
}

#[async_trait]
impl Networks for Fake {
    async fn create(&self, spec: &NetworkSpec) -> Result<String> {
        let _under_way = self.enter("create", "create-network", spec.name.as_str()).await?;
        self.world().create_network(spec)
    }

    async fn remove(&self, network: &str) -> Result<Outcome> {
        let _under_way = self.enter("remove", "remove-network", network).await?;
        self.world().remove_network(network)
    }

    async fn connect(&self, container: &str, endpoint: &EndpointSpec) -> Result<Outcome> {
        let _under_way = self.enter("create", "connect", &self.name_of(container)).await?;
        self.world().connect(container, endpoint)
    }

    async fn disconnect(&self, container: &str, network: &NetworkName) -> Result<Outcome> {
        let _under_way = self.enter("create", "disconnect", &self.name_of(container)).await?;
        self.world().disconnect(container, network)
    }
}

#[async_trait]
impl Volumes for Fake {
    async fn create(&self, spec: &VolumeSpec) -> Result<Outcome> {
        let _under_way = self.enter("create", "create-volume", spec.name.as_str()).await?;
        let mut world = self.world();
        if world.volumes.contains_key(&spec.name) {
            return Ok(Outcome::AlreadySo);
        }
        world.volumes.insert(spec.name.clone(), spec.clone());
        Ok(Outcome::Done)
    }

    async fn remove(&self, volume: &VolumeName) -> Result<Outcome> {
        let _under_way = self.enter("remove", "remove-volume", volume.as_str()).await?;
        self.world().remove_volume(volume)
    }

    async fn list(&self, labels: &[(String, Option<String>)]) -> Result<Vec<VolumeDescription>> {
        let world = self.glance("list-volumes", "")?;
        let wanted = world.volumes.values().filter(|spec| matches(&spec.labels, labels));
        Ok(wanted
            .map(|spec| VolumeDescription {
                name: spec.name.to_string(),
                driver: spec.driver.clone(),
                labels: spec.labels.clone(),
                ..VolumeDescription::default()
            })
            .collect())
    }
}

#[async_trait]
impl Images for Fake {
    async fn pull(
        &self,
        image: &ImageRef,
        _platform: &str,
        progress: ProgressSink<'_, TransferProgress>,
    ) -> Result<()> {
        let _under_way = self.enter("transfer", "pull", image.as_str()).await?;
        progress(TransferProgress { status: "Pulling".to_owned(), ..TransferProgress::default() });
        let mut world = self.world();
        if !world.registry.contains(image) {
            return Err(RuntimeError::NotFound { message: format!("pull access denied for {image}") });
        }
        world.add_image(image);
        Ok(())
    }

    async fn push(&self, image: &ImageRef, _progress: ProgressSink<'_, TransferProgress>) -> Result<()> {
        let _under_way = self.enter("transfer", "push", image.as_str()).await?;
        let mut world = self.world();
        if !world.images.contains_key(image) {
            return Err(RuntimeError::NotFound { message: format!("No such image: {image}") });
        }
        world.registry.insert(image.clone());
        Ok(())
    }

    async fn remove(&self, image: &ImageRef) -> Result<Outcome> {
        let _under_way = self.enter("remove", "remove-image", image.as_str()).await?;
        let mut world = self.world();
        if world.containers.values().any(|found| &found.spec.image == image) {
            return Err(RuntimeError::Conflict { message: format!("image {image} is in use") });
        }
        world
            .images
            .remove(image)
            .map(|_| Outcome::Done)
            .ok_or_else(|| RuntimeError::NotFound { message: format!("No such image: {image}") })
    }

    async fn inspect(&self, image: &str) -> Result<Option<ImageDescription>> {
        let world = self.glance("inspect-image", image)?;
        Ok(world.images.get(image).map(|id| ImageDescription {
            id: id.to_string(),
            tags: vec![image.to_owned()],
            ..ImageDescription::default()
        }))
    }

    async fn load(&self, mut archive: Reader) -> Result<Vec<String>> {
        let _under_way = self.enter("transfer", "load", "").await?;
        let mut bytes = Vec::new();
        archive.read_to_end(&mut bytes).await.map_err(local)?;
        // An archive of this engine is the name of an image.
        let name = String::from_utf8_lossy(&bytes).trim().to_owned();
        self.world().add_image(&ImageRef::from(name.as_str()));
        Ok(vec![name])
    }

    async fn list(&self, _label: &str, _value: &str) -> Result<Vec<ImageSummary>> {
        // Its images are names without a configuration.
        drop(self.glance("list-images", "")?);
        Ok(Vec::new())
    }

    async fn resolve_digest(&self, image: &ImageRef) -> Result<String> {
        let world = self.glance("resolve-digest", image.as_str())?;
        let found = world.images.get(image).map(ToString::to_string);
        found.ok_or_else(|| RuntimeError::NotFound { message: format!("No such image: {image}") })
    }
}

fn local(error: std::io::Error) -> RuntimeError {
    RuntimeError::Local { message: error.to_string() }
}

fn chunks(lines: Vec<String>) -> Items<LogChunk> {
    let chunk = |line| LogChunk { channel: Channel::Stdout, bytes: Bytes::from(format!("{line}\n")) };
    Box::pin(stream::iter(lines.into_iter().map(move |line| Ok(chunk(line)))))
}

#[async_trait]
impl Streams for Fake {
    async fn logs(&self, container: &str, options: &LogOptions) -> Result<Items<LogChunk>> {
        let name = self.name_of(container);
        let mut lines = self.glance("logs", &name)?.find(container)?.log.clone();
        if let Some(tail) = options.tail {
            let keep = usize::try_from(tail).unwrap_or(usize::MAX);
            lines.drain(..lines.len().saturating_sub(keep));
        }
        Ok(chunks(lines))
    }

    async fn attach(&self, container: &str, _options: &AttachOptions) -> Result<Session> {
        let name = self.name_of(container);
        let lines = self.glance("attach", &name)?.find(container)?.log.clone();
        Ok(Session { output: chunks(lines), input: None })
    }

    async fn exec(&self, container: &str, options: &ExecOptions) -> Result<ExecSession> {
        let _under_way = self.enter("create", "exec", &self.name_of(container)).await?;
        let mut world = self.world();
        let found = world.find(container)?;
        if !found.state.is_up() {
            return Err(RuntimeError::Conflict { message: format!("Container {container} is not running") });
        }
        let (code, output) = world.exec_results.get(&options.command.join(" ")).cloned().unwrap_or_default();
        let id = format!("exec-{}", world.execs.len());
        world.execs.insert(id.clone(), code);
        let output = chunks(output.lines().map(str::to_owned).collect());
        Ok(ExecSession { id, session: (!options.detach).then_some(Session { output, input: None }) })
    }

    async fn resize(&self, container: &str, _exec: Option<&str>, _columns: u16, _rows: u16) -> Result<()> {
        self.glance("resize", container)?.find(container).map(drop)
    }

    async fn exec_exit_code(&self, _container: &str, exec: &str) -> Result<i64> {
        let code = self.glance("exec-exit-code", exec)?.execs.get(exec).copied();
        code.ok_or_else(|| RuntimeError::NotFound { message: format!("No such exec: {exec}") })
    }

    async fn events(&self, query: &EventQuery) -> Result<Items<EngineEvent>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut world = self.glance("events", "")?;
        world.subscriptions += 1;
        world.subscribers.push((query.clone(), sender));
        Ok(stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) })
            .boxed())
    }

    async fn put_archive(&self, container: &str, path: &str, mut archive: Reader, _copy_owner: bool) -> Result<()> {
        let _under_way = self.enter("create", "put-archive", &self.name_of(container)).await?;
        let mut bytes = Vec::new();
        archive.read_to_end(&mut bytes).await.map_err(local)?;
        let mut archive = tar::Archive::new(Cursor::new(bytes));
        let mut files = Vec::new();
        for entry in archive.entries().map_err(local)? {
            let mut entry = entry.map_err(local)?;
            let name = format!("{}/{}", path.trim_end_matches('/'), entry.path().map_err(local)?.display());
            let header = entry.header();
            let mut file = CopiedFile {
                content: Vec::new(),
                uid: header.uid().map_err(local)?,
                gid: header.gid().map_err(local)?,
                mode: header.mode().map_err(local)?,
            };
            entry.read_to_end(&mut file.content).map_err(local)?;
            files.push((name, file));
        }
        self.world().find_mut(container)?.files.extend(files);
        Ok(())
    }

    async fn get_archive(&self, container: &str, path: &str) -> Result<Reader> {
        let world = self.glance("get-archive", container)?;
        let found = world.find(container)?;
        let mut archive = tar::Builder::new(Vec::new());
        for (name, file) in found.files.iter().filter(|(name, _)| name.starts_with(path)) {
            let mut header = tar::Header::new_gnu();
            header.set_size(file.content.len() as u64);
            header.set_mode(file.mode);
            archive.append_data(&mut header, name.trim_start_matches('/'), file.content.as_slice()).map_err(local)?;
        }
        Ok(Box::pin(Cursor::new(archive.into_inner().map_err(local)?)))
    }

    async fn stat_path(&self, container: &str, path: &str) -> Result<Option<PathStat>> {
        let world = self.glance("stat", container)?;
        Ok(world.find(container)?.files.get(path).map(|file| PathStat {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            size: i64::try_from(file.content.len()).unwrap_or(i64::MAX),
            mode: file.mode,
            ..PathStat::default()
        }))
    }

    async fn export(&self, container: &str) -> Result<Reader> {
        self.get_archive(container, "/").await
    }

    async fn top(&self, container: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        self.glance("top", container)?.find(container)?;
        Ok((vec!["PID".to_owned()], vec![vec!["1".to_owned()]]))
    }

    async fn stats(&self, container: &str, _follow: bool) -> Result<Items<Stats>> {
        self.glance("stats", container)?.find(container)?;
        Ok(Box::pin(stream::iter([Ok(Stats::default())])))
    }
}

#[async_trait]
impl Builder for Fake {
    fn builds_together(&self) -> bool {
        self.capabilities.concurrency.build > 1
    }

    async fn build(&self, builds: &Builds<'_>) -> std::result::Result<Vec<String>, BuildFailure> {
        let mut identities = Vec::new();
        for (position, spec) in builds.specs.iter().enumerate() {
            let begun = self.enter("build", "build", spec.image.as_str()).await;
            let _under_way = begun.map_err(|error| BuildFailure { position, error })?;
            (builds.output)((position, format!("building {}", spec.image)));
            let mut world = self.world();
            world.add_image(&spec.image);
            identities.push(world.images.get(&spec.image).map(ToString::to_string).unwrap_or_default());
        }
        Ok(identities)
    }

    fn definition(&self, specs: &[BuildSpec]) -> Result<String> {
        let names: Vec<&str> = specs.iter().map(|spec| spec.service.as_str()).collect();
        Ok(names.join(" "))
    }
}
