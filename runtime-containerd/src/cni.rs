//! Calling network plug-ins (CNI): programs that take a configuration on standard input and the
//! rest by the environment.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::client::local;

/// A plug-in that hangs must not hang this program.
const LIMIT: Duration = Duration::from_secs(60);

/// A container's connection to a network, as the plug-ins reported it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attachment {
    /// `eth0`, ...
    pub(crate) interface: String,
    /// First address, without prefix length.
    pub(crate) address: String,
    pub(crate) gateway: String,
    /// The last plug-in's result, needed for detaching.
    pub(crate) result: Value,
    /// The configuration of the network at that time: it may be gone when detaching.
    pub(crate) network: Value,
}

impl Attachment {
    /// All its addresses, without prefix lengths.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        let listed = self.result["ips"].as_array().into_iter().flatten();
        listed.filter_map(|ip| ip["address"].as_str()?.split('/').next())
    }
}

/// What a call is about.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) directories: &'a [PathBuf],
    pub(crate) container: &'a str,
    /// Empty after a reboot, when the namespace is gone.
    pub(crate) namespace: &'a str,
    pub(crate) interface: &'a str,
    /// `KEY=value;...`
    pub(crate) arguments: String,
}

/// The first directory that has the basic plug-in.
pub(crate) fn plugin_directory(directories: &[PathBuf]) -> Option<&Path> {
    directories.iter().map(PathBuf::as_path).find(|directory| directory.join("bridge").is_file())
}

impl Call<'_> {
    /// Runs one plug-in and returns its result.
    pub(crate) async fn run(&self, command: &str, network: &Value, plugin: &Value, previous: &Value) -> Result<Value> {
        self.run_as(plugin["type"].as_str().unwrap_or_default(), command, network, plugin, previous).await
    }

    /// The same by the program of that name.
    async fn run_as(
        &self,
        kind: &str,
        command: &str,
        network: &Value,
        plugin: &Value,
        previous: &Value,
    ) -> Result<Value> {
        let named = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let program = self.directories.iter().map(|directory| directory.join(kind)).find(|path| path.is_file());
        let Some(program) = program.filter(|_| named) else {
            return Err(RuntimeError::Failed {
                message: format!(
                    "the network plug-in `{kind}` is missing; install the CNI plug-ins (Debian: \
                     containernetworking-plugins)"
                ),
            });
        };
        let mut configuration = plugin.clone();
        configuration["cniVersion"] = network["cniVersion"].clone();
        configuration["name"] = network["name"].clone();
        if !previous.is_null() {
            configuration["prevResult"] = previous.clone();
        }
        let path: Vec<String> = self.directories.iter().map(|path| path.display().to_string()).collect();
        let mut child = tokio::process::Command::new(&program)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", self.container)
            .env("CNI_NETNS", self.namespace)
            .env("CNI_IFNAME", self.interface)
            .env("CNI_PATH", path.join(":"))
            .env("CNI_ARGS", &self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C in the terminal must not leave a half made network behind.
            .process_group(0)
            .spawn()
            .map_err(|error| local(program.display(), error))?;
        if let Some(mut input) = child.stdin.take() {
            let bytes = configuration.to_string();
            input.write_all(bytes.as_bytes()).await.map_err(|error| local(program.display(), error))?;
        }
        let output = tokio::time::timeout(LIMIT, child.wait_with_output())
            .await
            .map_err(|_| local(program.display(), "has not ended for 60 s"))?
            .map_err(|error| local(program.display(), error))?;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        if output.status.success() {
            return Ok(answer);
        }
        let said = answer["msg"].as_str().map_or_else(
            || String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            |message| format!("{message} {}", answer["details"].as_str().unwrap_or_default()).trim().to_owned(),
        );
        let name = network["name"].as_str().unwrap_or_default();
        Err(RuntimeError::Failed { message: format!("network {name}: plug-in {kind}: {said}") })
    }

    /// Attaches: all plug-ins in order, each with the result of the one before. `portmap` is run
    /// on its own, when ports are published.
    pub(crate) async fn add(&self, network: &Value) -> Result<Attachment> {
        let mut result = Value::Null;
        for plugin in chain(network) {
            let answer = self.run("ADD", network, plugin, &result).await?;
            if !answer.is_null() {
                result = answer;
            }
        }
        let address = result["ips"][0]["address"].as_str().unwrap_or_default();
        Ok(Attachment {
            interface: self.interface.to_owned(),
            address: address.split('/').next().unwrap_or_default().to_owned(),
            gateway: result["ips"][0]["gateway"].as_str().unwrap_or_default().to_owned(),
            network: network.clone(),
            result,
        })
    }

    /// Detaches, plug-ins in reverse order. Every plug-in is called; the first error is returned.
    pub(crate) async fn delete(&self, network: &Value, result: &Value) -> Result<()> {
        let mut outcome = Ok(());
        let plugins: Vec<&Value> = chain(network).collect();
        for plugin in plugins.into_iter().rev() {
            // Where the namespace is gone, `bridge` has nothing to do but to run this one.
            let addresses = plugin["ipam"]["type"].as_str();
            let kind = match addresses.filter(|_| self.namespace.is_empty() && plugin["type"] == "bridge") {
                Some(addresses) => addresses,
                None => plugin["type"].as_str().unwrap_or_default(),
            };
            let deleted = self.run_as(kind, "DEL", network, plugin, result).await.map(drop);
            outcome = outcome.and(deleted);
        }
        outcome
    }
}

impl Attachment {
    /// Whether the devices go with the namespace, so that nothing but the addresses has to be given
    /// back by the plug-in.
    pub(crate) fn goes_with_namespace(&self) -> bool {
        self.network["plugins"][0]["type"] == "bridge"
    }
}

/// A network without the plug-in of that type.
pub(crate) fn without(network: &Value, kind: &str) -> Value {
    let mut network = network.clone();
    if let Some(plugins) = network["plugins"].as_array_mut() {
        plugins.retain(|plugin| plugin["type"] != kind);
    }
    network
}

/// The plug-ins that are run when a container comes and goes. `tuning` without a setting does
/// nothing, and costs a process each time.
fn chain(network: &Value) -> impl Iterator<Item = &Value> {
    let idle = |plugin: &Value| plugin["type"] == "tuning" && plugin.as_object().is_some_and(|one| one.len() == 1);
    let all = network["plugins"].as_array().into_iter().flatten();
    all.filter(move |plugin| plugin["type"] != "portmap" && !idle(plugin))
}
