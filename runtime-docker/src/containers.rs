//! Containers: create, start, stop, remove, and so on; what an inspection tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use compose_model::names::{ContainerId, ContainerName, NetworkName};
use compose_planner::observed::{self, Detail, Health, PublishedPort};
use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{CommitOptions, Containers, Created, Inspection, Naming, Outcome};
use http::StatusCode;
use serde::Deserialize;

use crate::create_body::{self, Defaults};
use crate::endpoint::Endpoint;
use crate::reference::Reference;
use crate::transport::{Answer, Call, Class, Query, Transport, encode, encode_path};
use crate::{doubles, error, further, observe};

/// The engine's containers.
pub(crate) struct DockerContainers {
    transport: Transport,
    defaults: Defaults,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedBody {
    id: String,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WaitBody {
    status_code: i64,
    #[serde(default)]
    error: Option<WaitError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WaitError {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IdBody {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageBody {
    id: String,
    #[serde(default)]
    manifests: Option<Vec<observe::ManifestSummary>>,
}

/// The answer to an inspection, as far as it is of interest.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Inspected {
    id: String,
    name: String,
    restart_count: i64,
    state: InspectedState,
    config: InspectedConfig,
    host_config: InspectedHostConfig,
    network_settings: InspectedNetworks,
    mounts: Option<Vec<further::Mount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedState {
    status: String,
    exit_code: i64,
    error: String,
    started_at: String,
    finished_at: String,
    health: Option<InspectedHealth>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedHealth {
    status: String,
    log: Option<Vec<Probe>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Probe {
    exit_code: i64,
    output: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct InspectedConfig {
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    hostname: String,
    user: String,
    working_dir: String,
    tty: bool,
    pub(crate) stop_timeout: Option<i64>,
    pub(crate) healthcheck: Option<InspectedCheck>,
    pub(crate) stop_signal: String,
    pub(crate) open_stdin: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct InspectedCheck {
    pub(crate) test: Option<Vec<String>>,
    pub(crate) interval: u64,
    pub(crate) timeout: u64,
    pub(crate) start_period: u64,
    pub(crate) retries: u32,
}

impl InspectedCheck {
    /// Longest time until unhealthy, in nanoseconds of the engine's API; 0 means its defaults.
    fn patience(&self) -> Duration {
        let or = |given: u64, otherwise: Duration| if given == 0 { otherwise } else { Duration::from_nanos(given) };
        let round =
            or(self.interval, Duration::from_secs(30)).saturating_add(or(self.timeout, Duration::from_secs(30)));
        let retries = if self.retries == 0 { 3 } else { self.retries };
        Duration::from_nanos(self.start_period).saturating_add(round.saturating_mul(retries))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedHostConfig {
    restart_policy: InspectedRestart,
    privileged: bool,
    readonly_rootfs: bool,
    blkio_weight: i64,
    cpu_period: i64,
    cpu_quota: i64,
    cpu_shares: i64,
    nano_cpus: i64,
    cpuset_cpus: String,
    memory: i64,
    memory_reservation: i64,
    memory_swap: i64,
    pids_limit: Option<i64>,
    #[serde(flatten)]
    further: further::HostConfig,
}

impl InspectedHostConfig {
    /// By the names of the attributes; unset ones are left out.
    fn limits(&self) -> BTreeMap<String, String> {
        let number = |value: i64| if value == 0 { String::new() } else { value.to_string() };
        [
            ("blkio_config.weight", number(self.blkio_weight)),
            ("cpu_period", number(self.cpu_period)),
            ("cpu_quota", number(self.cpu_quota)),
            ("cpu_shares", number(self.cpu_shares)),
            ("cpus", compose_planner::spec::cpus_text(self.nano_cpus)),
            ("cpuset", self.cpuset_cpus.clone()),
            ("mem_limit", number(self.memory)),
            ("mem_reservation", number(self.memory_reservation)),
            ("memswap_limit", number(self.memory_swap)),
            ("pids_limit", number(self.pids_limit.unwrap_or_default().max(0))),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedRestart {
    name: String,
    maximum_retry_count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedNetworks {
    networks: Option<BTreeMap<String, Option<InspectedEndpoint>>>,
    ports: Option<BTreeMap<String, Option<Vec<InspectedBinding>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InspectedEndpoint {
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: String,
    #[serde(rename = "Aliases")]
    aliases: Option<BTreeSet<String>>,
    #[serde(rename = "IPAMConfig")]
    fixed: Option<InspectedAddresses>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InspectedAddresses {
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedBinding {
    host_ip: String,
    host_port: String,
}

impl Inspected {
    pub(crate) fn detail(self) -> Detail {
        let restart = self.host_config.restart_policy.name.clone();
        let endpoints = self.network_settings.networks.into_iter().flatten().map(|(name, endpoint)| {
            let endpoint = endpoint.unwrap_or_default();
            let fixed = endpoint.fixed.unwrap_or_default();
            let endpoint = observed::Endpoint {
                aliases: endpoint.aliases.unwrap_or_default(),
                ipv4_address: fixed.ipv4_address,
                ipv6_address: fixed.ipv6_address,
            };
            (NetworkName::new(name), endpoint)
        });
        let further = further::attributes(&self.config, &self.host_config.further, self.mounts.as_deref());
        Detail {
            further,
            limits: Some(self.host_config.limits()),
            endpoints: endpoints.collect(),
            hostname: self.config.hostname,
            privileged: self.host_config.privileged,
            read_only: self.host_config.readonly_rootfs,
            environment: self.config.env.unwrap_or_default(),
            command: self.config.cmd.unwrap_or_default(),
            entrypoint: self.config.entrypoint.unwrap_or_default(),
            user: self.config.user,
            working_dir: self.config.working_dir,
            restart: match self.host_config.restart_policy.maximum_retry_count {
                0 => restart,
                attempts => format!("{restart}:{attempts}"),
            },
            tty: self.config.tty,
        }
    }

    /// Whether it has a terminal, so that its output is not framed.
    pub(crate) const fn tty(&self) -> bool {
        self.config.tty
    }

    fn inspection(self) -> Inspection {
        let health = match self.state.health.as_ref().map(|health| health.status.as_str()) {
            Some("healthy") => Health::Healthy,
            Some("unhealthy") => Health::Unhealthy,
            Some("starting") => Health::Starting,
            _ => Health::None,
        };
        let test = self.config.healthcheck.as_ref().and_then(|check| check.test.as_ref());
        let has_test = test.and_then(|test| test.first()).is_some_and(|first| first != "NONE");
        let last_probe = self.state.health.as_ref().and_then(|health| health.log.as_ref()?.last());
        let networks = self.network_settings.networks.iter().flatten();
        let addresses = networks.map(|(name, endpoint)| {
            let address = endpoint.as_ref().map(|endpoint| {
                if endpoint.ip_address.is_empty() { &endpoint.ipv6_address } else { &endpoint.ip_address }
            });
            (NetworkName::new(name.clone()), address.cloned().unwrap_or_default())
        });
        Inspection {
            id: ContainerId::new(self.id.clone()),
            name: ContainerName::new(self.name.trim_start_matches('/')),
            state: observe::state(&self.state.status),
            health,
            // Without a probe so far there is no health state on a container that never ran.
            has_healthcheck: has_test || health != Health::None,
            patience: self.config.healthcheck.as_ref().map(InspectedCheck::patience),
            exit_code: self.state.exit_code,
            error: self.state.error.clone(),
            started_at: self.state.started_at.clone(),
            finished_at: self.state.finished_at.clone(),
            last_probe: last_probe.map(|probe| (probe.exit_code, probe.output.clone())),
            restart_count: self.restart_count,
            addresses: addresses.collect(),
            ports: self.ports(),
            detail: self.detail(),
        }
    }

    fn ports(&self) -> Vec<PublishedPort> {
        let mut ports = Vec::new();
        for (port, bindings) in self.network_settings.ports.iter().flatten() {
            let (target, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let target = target.parse().unwrap_or_default();
            let published = |binding: &InspectedBinding| PublishedPort {
                host_ip: binding.host_ip.clone(),
                published: binding.host_port.parse().unwrap_or_default(),
                target,
                protocol: protocol.to_owned(),
            };
            match bindings.as_deref() {
                Some(bindings) if !bindings.is_empty() => ports.extend(bindings.iter().map(published)),
                _ => ports.push(published(&InspectedBinding::default())),
            }
        }
        ports.sort();
        ports
    }
}

/// `Done`, or `AlreadySo` where the engine says that nothing changed.
fn outcome(answer: Answer) -> Result<Outcome> {
    let unchanged = answer.status == StatusCode::NOT_MODIFIED;
    answer.success()?;
    Ok(if unchanged { Outcome::AlreadySo } else { Outcome::Done })
}

/// `/containers/NAME` and what follows.
pub(crate) fn path(container: &str, rest: &str) -> String {
    format!("/containers/{}{rest}", encode(container))
}

/// Inspects a container.
pub(crate) async fn inspect(transport: &Transport, container: &str) -> Result<Inspected> {
    transport.unary(Call::get(path(container, "/json"))).await?.decode()
}

impl DockerContainers {
    pub(crate) fn new(transport: Transport, endpoint: &Endpoint, is_podman: bool) -> Self {
        let defaults = Defaults::of(endpoint, is_podman);
        Self { transport, defaults }
    }

    async fn post(&self, container: &str, verb: &str, query: Query) -> Result<Answer> {
        self.transport.unary(Call::post(path(container, &format!("/{verb}{query}")))).await
    }

    /// A stop or restart: the engine answers when the container has stopped, which may be long
    /// after any deadline if the container's own grace period says so.
    async fn stopping(&self, container: &str, verb: &str, timeout: Option<i64>) -> Result<Answer> {
        let query = timeout.map_or_else(Query::new, |seconds| Query::new().with("t", &seconds.to_string()));
        let call = Call::post(path(container, &format!("/{verb}{query}")));
        if let Some(seconds) = timeout {
            // A negative time means to wait without end.
            let class =
                u64::try_from(seconds).map_or(Class::Long, |seconds| Class::WorkAfter(Duration::from_secs(seconds)));
            return self.transport.unary(call.class(class)).await;
        }
        let name = call.name();
        let work = self.transport.deadlines().work;
        let mut stop = std::pin::pin!(self.transport.unary(call.class(Class::Long)));
        if let Ok(answer) = tokio::time::timeout(work, &mut stop).await {
            return answer;
        }
        let own = inspect(&self.transport, container).await?.config.stop_timeout.unwrap_or(10);
        let Ok(seconds) = u64::try_from(own) else { return stop.await };
        let further = Duration::from_secs(seconds);
        tokio::time::timeout(further, stop).await.unwrap_or_else(|_| Err(error::stalled(&name, work + further)))
    }
}

#[async_trait]
impl Containers for DockerContainers {
    async fn create(&self, spec: &ContainerSpec) -> Result<Created> {
        let image = if spec.labels.contains_key(compose_planner::labels::IMAGE) {
            None
        } else if let Some(id) = &spec.image_id {
            Some(id.as_str().to_owned())
        } else {
            let several = if self.transport.at_least(48) { "?manifests=1" } else { "" };
            let call = Call::get(format!("/images/{}/json{several}", encode_path(spec.image.as_str())));
            let found: ImageBody = self.transport.unary(call).await?.decode()?;
            let (_, own) = observe::identities(found.manifests, &spec.platform);
            Some(own.map_or(found.id, |id| id.to_string()))
        };
        let body = create_body::body(spec, image, self.transport.version(), &self.defaults)?;
        let platform = if spec.platform.is_empty() { &self.defaults.platform } else { &spec.platform };
        let query = Query::new().maybe("name", spec.name.as_str()).maybe("platform", platform);
        let call = Call::post(format!("/containers/create{query}")).json(&body)?;
        let answer = self.transport.unary(call).await?;
        if answer.status == StatusCode::NOT_FOUND && answer.says("No such image") {
            let reference = Reference::parse(spec.image.as_str());
            let tag = if reference.digest.is_empty() {
                format!(":{}", reference.tag)
            } else {
                format!("@{}", reference.digest)
            };
            let message = format!("Error response from daemon: No such image: {}{tag}", reference.familiar());
            return Err(RuntimeError::NotFound { message });
        }
        let created: CreatedBody = answer.decode()?;
        if spec.use_api_socket
            && let Some(config) = self.defaults.registry_config()
        {
            let archive = create_body::registry_config_archive(config.as_bytes())?;
            let query = Query::new().with("path", "/");
            let mut call = Call::new(http::Method::PUT, path(&created.id, &format!("/archive{query}")), Class::Work);
            call.payload = crate::transport::Payload::Archive(Box::pin(std::io::Cursor::new(archive)));
            self.transport.unary(call).await?.success()?;
        }
        Ok(Created { id: ContainerId::new(created.id), warnings: created.warnings.unwrap_or_default() })
    }

    async fn start(&self, container: &str) -> Result<Outcome> {
        let answer = self.post(container, "start", Query::new()).await?;
        if doubles::settle(&self.transport, &answer).await {
            return outcome(self.post(container, "start", Query::new()).await?);
        }
        outcome(answer)
    }

    async fn stop(&self, container: &str, timeout: Option<i64>) -> Result<Outcome> {
        outcome(self.stopping(container, "stop", timeout).await?)
    }

    async fn restart(&self, container: &str, timeout: Option<i64>) -> Result<()> {
        self.stopping(container, "restart", timeout).await?.success().map(drop)
    }

    async fn kill(&self, container: &str, signal: &str) -> Result<Outcome> {
        let answer = self.post(container, "kill", Query::new().maybe("signal", signal)).await?;
        // "Container ... is not running": there is nobody to signal.
        if answer.status == StatusCode::CONFLICT && answer.says("is not running") {
            return Ok(Outcome::AlreadySo);
        }
        outcome(answer)
    }

    async fn pause(&self, container: &str) -> Result<()> {
        self.post(container, "pause", Query::new()).await?.success().map(drop)
    }

    async fn unpause(&self, container: &str) -> Result<()> {
        self.post(container, "unpause", Query::new()).await?.success().map(drop)
    }

    async fn remove(&self, container: &str, volumes: bool, force: bool) -> Result<Outcome> {
        let query = Query::new().flag("v", volumes).flag("force", force);
        let answer = self.transport.unary(Call::delete(path(container, &query.to_string()))).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Outcome::AlreadySo);
        }
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status == StatusCode::CONFLICT && text.contains("is already in progress") {
            return self.gone(container).await;
        }
        outcome(answer)
    }

    async fn rename(&self, container: &str, to: &ContainerName) -> Result<Outcome> {
        let answer = self.post(container, "rename", Query::new().with("name", to.as_str())).await?;
        let text = String::from_utf8_lossy(&answer.body);
        // Engines refuse a rename to the container's own name.
        if !answer.status.is_success() && (text.contains("same name") || text.contains("already in use by container")) {
            let now = inspect(&self.transport, container).await?;
            if now.name.trim_start_matches('/') == to.as_str() {
                return Ok(Outcome::AlreadySo);
            }
        }
        outcome(answer)
    }

    async fn wait(&self, container: &str) -> Result<i64> {
        let call = Call::post(path(container, "/wait?condition=not-running")).class(Class::Long);
        let body: WaitBody = self.transport.unary(call).await?.decode()?;
        match body.error.filter(|error| !error.message.is_empty()) {
            Some(error) => Err(RuntimeError::Failed { message: error.message }),
            None => Ok(body.status_code),
        }
    }

    async fn inspect(&self, container: &str) -> Result<Inspection> {
        Ok(inspect(&self.transport, container).await?.inspection())
    }

    async fn naming(&self, name: &ContainerName) -> Result<Naming> {
        observe::naming(&self.transport, name).await
    }

    async fn commit(&self, container: &str, options: &CommitOptions) -> Result<String> {
        let (repository, tag) = match options.reference.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (options.reference.as_str(), ""),
        };
        let mut query = Query::new()
            .with("container", container)
            .maybe("repo", repository)
            .maybe("tag", tag)
            .maybe("author", &options.author)
            .maybe("comment", &options.message)
            .with("pause", if options.pause { "1" } else { "0" });
        for change in &options.changes {
            query = query.with("changes", change);
        }
        // Writing an image takes as long as it takes.
        // No other configuration; Podman wants to be told.
        let call = Call::post(format!("/commit{query}")).class(Class::Long).json(&serde_json::Value::Null)?;
        Ok(self.transport.unary(call).await?.decode::<IdBody>()?.id)
    }
}

impl DockerContainers {
    /// Waits for a removal that somebody else has begun.
    async fn gone(&self, container: &str) -> Result<Outcome> {
        let call = Call::post(path(container, "/wait?condition=removed")).class(Class::WorkAfter(Duration::ZERO));
        let answer = self.transport.unary(call).await?;
        if answer.status != StatusCode::NOT_FOUND {
            answer.success()?;
        }
        Ok(Outcome::AlreadySo)
    }
}
