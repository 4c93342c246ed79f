//! Namespaces that a container shares with another one: who the other one is, and the paths that
//! the specification gets at each start, since they go with the other's process.

use compose_planner::op::Target;
use compose_planner::spec::Namespace;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::Container;
use containerd_client::types::v1::Status;
use serde_json::{Value, json};

use crate::client::local;
use crate::core::{Core, name_of};
use crate::record::Record;

/// The name or identity of a target.
pub(crate) fn name_of_target(target: &Target) -> &str {
    match target {
        Target::Existing { id, .. } => id.as_str(),
        Target::MadeBy { name, .. } | Target::Named { name } => name.as_str(),
    }
}

impl Core {
    /// The container whose namespace is wanted.
    pub(crate) async fn shared_with(&self, namespace: &Namespace) -> Result<Option<(Container, Record)>> {
        match namespace {
            Namespace::Container(target) => Ok(Some(self.find_own(name_of_target(target)).await?)),
            Namespace::Default | Namespace::Engine(_) => Ok(None),
        }
    }

    /// Writes the namespaces of other containers into the specification.
    pub(crate) async fn join_namespaces(&self, container: &Container, record: &Record) -> Result<()> {
        let wanted = [("pid", &record.pid_of), ("ipc", &record.ipc_of)];
        if wanted.iter().all(|(_, other)| other.is_none()) {
            return Ok(());
        }
        let Some(spec) = &container.spec else { return Ok(()) };
        let mut document: Value =
            serde_json::from_slice(&spec.value).map_err(|error| local("the container's specification", error))?;
        for (kind, other) in wanted {
            let Some(other) = other else { continue };
            let task = self.task(other).await?.filter(|task| task.status() == Status::Running);
            let Some(task) = task else {
                return Err(RuntimeError::Conflict {
                    message: format!(
                        "cannot join the {kind} namespace of container {other} for {}: it is not running",
                        name_of(container)
                    ),
                });
            };
            set_path(&mut document, kind, &format!("/proc/{}/ns/{kind}", task.pid));
        }
        let spec = prost_types::Any { type_url: spec.type_url.clone(), value: document.to_string().into_bytes() };
        let changed = Container { id: container.id.clone(), spec: Some(spec), ..Container::default() };
        self.update(changed, vec!["spec".to_owned()]).await
    }
}

fn set_path(document: &mut Value, kind: &str, path: &str) {
    for namespace in document["linux"]["namespaces"].as_array_mut().into_iter().flatten() {
        if namespace["type"] == kind {
            namespace["path"] = json!(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_namespace_gets_the_path() {
        let mut document =
            json!({ "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid", "path": "/old" }] } });
        set_path(&mut document, "pid", "/proc/7/ns/pid");
        let wanted =
            json!({ "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid", "path": "/proc/7/ns/pid" }] } });
        assert_eq!(document, wanted);
    }
}
