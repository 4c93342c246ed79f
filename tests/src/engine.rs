//! The engines of a run and their state as they tell it themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::{containerd, http};

/// Where the program finds other programs.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which kind of engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Docker Engine.
    Docker,
    /// A bare containerd.
    Containerd,
}

/// An engine that cases run on.
#[derive(Clone, Debug)]
pub struct Engine {
    /// `docker20`, `docker28`, `podman`, `containerd1`, `containerd2`.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Path of its socket.
    pub socket: String,
    /// Host at which its published ports answer.
    pub ports_host: String,
}

/// A container as the engine describes it.
#[derive(Clone, Debug)]
pub struct ContainerState {
    /// Identity.
    pub id: String,
    /// Name.
    pub name: String,
    /// Service label.
    pub service: String,
    /// `running`, `exited`, `created`, `paused`.
    pub state: String,
    /// When it was started last.
    pub started_at: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The whole inspection, for what is not above.
    pub inspect: Value,
}

#[allow(clippy::disallowed_methods)] // The harness is configured by the environment, as its head says.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A setting of the suite.
#[must_use]
pub fn setting(name: &str) -> Option<String> {
    variable(&format!("COMPOSE_TEST_{name}"))
}

impl Engine {
    /// The engines that the environment names.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let docker = ["docker20", "docker28", "podman"].into_iter().filter_map(|name| {
            let upper = name.to_uppercase();
            let socket = setting(&upper)?.trim_start_matches("unix://").to_owned();
            let ports_host = setting(&format!("{upper}_PORTS")).unwrap_or_else(|| "127.0.0.1".to_owned());
            Some(Self { name: name.to_owned(), kind: Kind::Docker, socket, ports_host })
        });
        let containerd = ["containerd1", "containerd2"].into_iter().filter_map(|name| {
            let socket = setting(&name.to_uppercase())?;
            let ports_host = "127.0.0.1".to_owned();
            Some(Self { name: name.to_owned(), kind: Kind::Containerd, socket, ports_host })
        });
        docker.chain(containerd).collect()
    }

    /// Brings the images into the namespace of the suite, where the engine has namespaces.
    ///
    /// # Errors
    /// When the import fails.
    pub fn prepare(&self) -> Result<(), String> {
        if self.is_docker() {
            return Ok(());
        }
        // Cases may run in processes of their own: one imports, the others wait for it.
        let _turn = self.alone("images")?;
        let there = self.ctr(&["images", "ls", "-q"])?;
        for (archive, probe) in [("examples.tar", "my-todo-app:latest"), ("postgres.tar", "example/postgres:1")] {
            if !there.contains(probe) {
                self.import(archive)?;
            }
        }
        Ok(())
    }

    /// Imports an archive of the suite's images (containerd).
    ///
    /// # Errors
    /// When the import fails.
    pub fn import(&self, archive: &str) -> Result<(), String> {
        let folder = setting("IMAGES").ok_or("COMPOSE_TEST_IMAGES is not set")?;
        self.ctr(&["images", "import", &format!("{folder}/{archive}")]).map(drop)
    }

    /// Waits for its turn at something of this engine that only one case may use at a time, also
    /// where the runner gives every case a process of its own. Dropping the file gives the turn on.
    /// For a fixed port see [`Engine::alone_at_a_port`].
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn alone(&self, what: &str) -> Result<File, String> {
        let path = std::env::temp_dir().join(format!("compose-tests-{}-{what}.lock", self.name));
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        file.lock().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(file)
    }

    /// Waits for its turn at a port of the machine that containers publish at. Docker engines have
    /// a network namespace each; those of containerd share the machine's.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn alone_at_a_port(&self, port: u16) -> Result<File, String> {
        let owner = if self.is_docker() { self.name.as_str() } else { "machine" };
        Self { name: owner.to_owned(), ..self.clone() }.alone(&format!("port-{port}"))
    }

    /// Whether it is a Docker Engine.
    #[must_use]
    pub fn is_docker(&self) -> bool {
        self.kind == Kind::Docker
    }

    /// Variables that make the program use this engine.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        match self.kind {
            Kind::Docker => vec![("DOCKER_HOST".to_owned(), format!("unix://{}", self.socket))],
            Kind::Containerd => {
                let mut all = vec![
                    ("COMPOSE_RUNTIME".to_owned(), "containerd".to_owned()),
                    ("CONTAINERD_ADDRESS".to_owned(), self.socket.clone()),
                    ("CONTAINERD_NAMESPACE".to_owned(), self.namespace()),
                ];
                if let Some(host) = setting("BUILDKIT") {
                    let programs = setting("BUILDKIT_PROGRAMS").unwrap_or_default();
                    all.push(("BUILDKIT_HOST".to_owned(), host));
                    all.push(("PATH".to_owned(), format!("{SEARCH_PATH}:{programs}")));
                }
                all
            }
        }
    }

    /// The containerd namespace of the suite: one for each daemon, since daemons share runc's state.
    #[must_use]
    pub fn namespace(&self) -> String {
        setting("NAMESPACE").unwrap_or_else(|| "compose-tests".to_owned()) + "-" + &self.name
    }

    /// All containers that carry the project's label, one-offs included, sorted by name.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn containers(&self, project: &str) -> Result<Vec<ContainerState>, String> {
        let mut found = match self.kind {
            Kind::Docker => self.docker_containers(project)?,
            Kind::Containerd => self.containerd_containers(project)?,
        };
        found.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(found)
    }

    fn docker_containers(&self, project: &str) -> Result<Vec<ContainerState>, String> {
        let filter = http::encode(&format!("{{\"label\":[\"com.docker.compose.project={project}\"]}}"));
        let list = http::json(&self.socket, &format!("/containers/json?all=1&filters={filter}"))?;
        let mut found = Vec::new();
        for entry in list.as_array().into_iter().flatten() {
            let id = text(&entry["Id"]);
            // It may have gone since the list was made.
            let Ok(inspect) = http::json(&self.socket, &format!("/containers/{id}/json")) else { continue };
            let labels = strings(&inspect["Config"]["Labels"]);
            found.push(ContainerState {
                id,
                name: text(&inspect["Name"]).trim_start_matches('/').to_owned(),
                service: labels.get("com.docker.compose.service").cloned().unwrap_or_default(),
                state: text(&inspect["State"]["Status"]),
                started_at: text(&inspect["State"]["StartedAt"]),
                labels,
                inspect,
            });
        }
        Ok(found)
    }

    fn containerd_containers(&self, project: &str) -> Result<Vec<ContainerState>, String> {
        let tasks = self.ctr(&["tasks", "ls"])?;
        let filter = format!("labels.\"com.docker.compose.project\"=={project}");
        let list = self.ctr(&["containers", "ls", "-q", &filter])?;
        let mut found = Vec::new();
        for id in list.lines() {
            let Ok(info) = self.ctr(&["containers", "info", id]) else { continue };
            let inspect: Value = serde_json::from_str(&info).map_err(|error| error.to_string())?;
            let labels = strings(&inspect["Labels"]);
            let task = tasks.lines().find(|line| line.starts_with(id));
            let inspect = containerd::inspection(&inspect, task);
            found.push(ContainerState {
                id: id.to_owned(),
                name: labels.get("nerdctl/name").cloned().unwrap_or_default(),
                service: labels.get("com.docker.compose.service").cloned().unwrap_or_default(),
                state: text(&inspect["State"]["Status"]),
                started_at: text(&inspect["State"]["StartedAt"]),
                labels,
                inspect,
            });
        }
        Ok(found)
    }

    /// Runs containerd's own client.
    ///
    /// # Errors
    /// When it fails.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("ctr")
            .args(["-a", &self.socket, "-n", &self.namespace()])
            .args(arguments)
            .output()
            .map_err(|error| format!("ctr: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// Names of networks that carry the project's label, sorted.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn networks(&self, project: &str) -> Result<Vec<String>, String> {
        if !self.is_docker() {
            return Ok(containerd::networks(self, project));
        }
        let filter = http::encode(&format!("{{\"label\":[\"com.docker.compose.project={project}\"]}}"));
        let list = http::json(&self.socket, &format!("/networks?filters={filter}"))?;
        Ok(names(list.as_array(), "Name"))
    }

    /// Names of volumes that carry the project's label, sorted.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn volumes(&self, project: &str) -> Result<Vec<String>, String> {
        if !self.is_docker() {
            return Ok(containerd::volumes(self, project));
        }
        let filter = http::encode(&format!("{{\"label\":[\"com.docker.compose.project={project}\"]}}"));
        let list = http::json(&self.socket, &format!("/volumes?filters={filter}"))?;
        Ok(names(list["Volumes"].as_array(), "Name"))
    }

    /// Removes everything that carries the project's label, whatever state it is in.
    pub fn wipe(&self, project: &str) {
        if !self.is_docker() {
            containerd::wipe(self, project);
        }
        for container in self.containers(project).unwrap_or_default() {
            match self.kind {
                Kind::Docker => {
                    let path = format!("/containers/{}?force=1&v=1", container.id);
                    let _ = http::over_socket(&self.socket, "DELETE", &path);
                }
                Kind::Containerd => {
                    let _ = self.ctr(&["tasks", "rm", "-f", &container.id]);
                    let _ = self.ctr(&["containers", "rm", &container.id]);
                }
            }
        }
        if self.is_docker() {
            for network in self.networks(project).unwrap_or_default() {
                let _ = http::over_socket(&self.socket, "DELETE", &format!("/networks/{network}"));
            }
            for volume in self.volumes(project).unwrap_or_default() {
                let _ = http::over_socket(&self.socket, "DELETE", &format!("/volumes/{volume}?force=1"));
            }
        }
    }

    /// Runs the Docker CLI against this engine, or does what it would do on containerd.
    ///
    /// # Errors
    /// When it fails; the message is its standard error.
    pub fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        if !self.is_docker() {
            return containerd::other_tool(self, arguments);
        }
        let output = Command::new("docker")
            .args(["-H", &format!("unix://{}", self.socket)])
            .args(arguments)
            .output()
            .map_err(|error| format!("docker: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

impl ContainerState {
    /// A label's value; empty if it is absent.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    /// Host port that a container port (`80/tcp`) is published at (Docker).
    #[must_use]
    pub fn published(&self, port: &str) -> Option<u16> {
        self.inspect["NetworkSettings"]["Ports"][port][0]["HostPort"].as_str()?.parse().ok()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn names(list: Option<&Vec<Value>>, key: &str) -> Vec<String> {
    let mut names: Vec<String> = list.into_iter().flatten().map(|entry| text(&entry[key])).collect();
    names.sort();
    names
}
