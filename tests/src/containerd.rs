//! What a bare containerd has, in the Docker Engine's words, so that one suite fits both: what the
//! program keeps in containers' records, and networks and volumes in nerdctl's places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::engine::{Engine, SEARCH_PATH};

const RECORD: &str = "dev.compose.containerd/record";
const STATE: &str = "dev.compose.containerd/";

/// A container's inspection as the Docker Engine would give it, from `ctr containers info` and its
/// line of `ctr tasks ls`.
#[must_use]
pub fn inspection(info: &Value, task: Option<&str>) -> Value {
    let record = info["Extensions"][RECORD]["value"].as_str().unwrap_or_default();
    let record = base64::engine::general_purpose::STANDARD.decode(record).unwrap_or_default();
    let record: Value = serde_json::from_slice(&record).unwrap_or_default();
    let label = |key: &str| info["Labels"][format!("{STATE}{key}")].as_str().unwrap_or_default();
    let mut words = task.unwrap_or_default().split_whitespace().skip(1);
    let pid = words.next().and_then(|word| word.parse::<i64>().ok()).unwrap_or(0);
    let status = match words.next() {
        Some("RUNNING") => "running",
        Some("PAUSED") => "paused",
        Some("CREATED") => "created",
        _ if label("restarting") == "true" => "restarting",
        _ if label("started-at").is_empty() => "created",
        _ => "exited",
    };
    let mut networks = serde_json::Map::new();
    for (name, attached) in record["attached"].as_object().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let hash = text(&attached["network"]["nerdctlLabels"]["com.docker.compose.config-hash"]);
        // nerdctl's identity comes from the name alone: one that was replaced has another hash.
        let id = format!("{}-{hash}", text(&attached["network"]["nerdctlID"])).trim_end_matches('-').to_owned();
        let wanted = record["networks"].as_array().into_iter().flatten().find(|one| one["network"] == name.as_str());
        let aliases = wanted.map(|one| one["aliases"].clone()).unwrap_or_default();
        networks.insert(name.clone(), json!({ "NetworkID": id, "IPAddress": attached["address"], "Aliases": aliases }));
    }
    let mut ports = serde_json::Map::new();
    for port in record["published"].as_array().into_iter().flatten() {
        let key = format!("{}/{}", port["target"], port["protocol"].as_str().unwrap_or_default());
        ports.insert(key, json!([{ "HostIp": port["host_ip"], "HostPort": port["published"].to_string() }]));
    }
    let mode = match record["network_mode"].as_str() {
        Some("networks") => record["networks"][0]["network"].clone(),
        _ => record["network_mode"].clone(),
    };
    let policy = match &record["restart"] {
        Value::String(word) if word == "Always" => "always",
        Value::String(word) if word == "UnlessStopped" => "unless-stopped",
        Value::Object(_) => "on-failure",
        _ => "no",
    };
    // No check is the same as a disabled one.
    let test = match &record["healthcheck"] {
        Value::Null => json!(["NONE"]),
        check => check["test"].clone(),
    };
    let mounts: Vec<Value> = record["mounts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| json!({ "Type": one["kind"], "Name": one["volume"], "Destination": one["target"] }))
        .collect();
    let shared = |key: &str| record[key].as_str().map(|id| format!("container:{id}"));
    json!({
        "Mounts": mounts,
        "State": {
            "Status": status, "Running": status == "running", "Pid": pid,
            "ExitCode": label("exit-code").parse::<i64>().unwrap_or(0),
            "StartedAt": label("started-at"),
            "Health": { "Status": label("health") },
        },
        "RestartCount": label("restart-count").parse::<i64>().unwrap_or(0),
        "HostConfig": {
            "NetworkMode": mode, "RestartPolicy": { "Name": policy },
            "IpcMode": shared("ipc_of"), "PidMode": shared("pid_of"),
        },
        "Config": { "Image": record["image"], "Env": record["environment"], "Healthcheck": { "Test": test }, "Hostname": record["hostname"] },
        "NetworkSettings": { "Networks": networks, "Ports": ports },
    })
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn networks_directory(engine: &Engine) -> PathBuf {
    Path::new("/etc/cni/net.d").join(engine.namespace())
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Networks of a project, sorted.
#[must_use]
pub fn networks(engine: &Engine, project: &str) -> Vec<String> {
    let all = entries(&networks_directory(engine));
    let own = |network: &Value| network["nerdctlLabels"]["com.docker.compose.project"] == project;
    let own = all.iter().filter_map(|path| read(path)).filter(own);
    let mut names: Vec<String> = own.filter_map(|network| Some(network["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

/// Volumes of a project, sorted.
#[must_use]
pub fn volumes(engine: &Engine, project: &str) -> Vec<String> {
    let mut names = Vec::new();
    for root in entries(Path::new("/var/lib/nerdctl")) {
        for volume in entries(&root.join("volumes").join(engine.namespace())) {
            let labels = read(&volume.join("volume.json")).map(|description| description["Labels"].clone());
            let own = labels.is_some_and(|labels| labels["com.docker.compose.project"] == project);
            if let Some(name) = volume.file_name().filter(|_| own) {
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}

/// What cases do with the Docker CLI beside the program, done as nerdctl would do it.
///
/// # Errors
/// When it fails, or is not known here.
pub fn other_tool(engine: &Engine, arguments: &[&str]) -> Result<String, String> {
    match arguments {
        ["network", "create", labels @ .., name] => create_network(engine, name, &labelled(labels)),
        ["network", "inspect", name] => inspect_network(engine, name).map(|network| network.to_string()),
        ["network", "inspect", "-f", "{{.Id}}", name] => {
            Ok(inspect_network(engine, name)?["nerdctlID"].as_str().unwrap_or_default().to_owned())
        }
        ["network", "rm", name] => {
            let bridge = inspect_network(engine, name)?["plugins"][0]["bridge"].clone();
            let _ = Command::new("ip").args(["link", "del", bridge.as_str().unwrap_or_default()]).output();
            std::fs::remove_file(path_of(engine, name)).map_err(|error| format!("{name}: {error}"))?;
            Ok(String::new())
        }
        ["create", "--name", name, image, command] => {
            // As nerdctl would make it: without our record.
            let id = format!("{:0>64}", name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
            let id = &id[id.len() - 64..];
            let (label, image) = (format!("nerdctl/name={name}"), format!("docker.io/library/{image}:latest"));
            engine.ctr(&["containers", "create", "--label", &label, &image, id, command])?;
            Ok(id.to_owned())
        }
        ["inspect", "-f", "{{.Id}} {{.State.Status}}", name] => Ok(format!("{} created", named(engine, name)?)),
        ["run", "-d", flags @ .., image, word, argument] => run(engine, flags, image, &format!("{word} {argument}")),
        ["inspect", "-f", "{{.Id}}", name] => named(engine, name),
        ["rm", "-f", .., name] => {
            let id = named(engine, name)?;
            // The program may be faster with what is left.
            let _ = engine.ctr(&["tasks", "rm", "-f", &id]);
            engine.ctr(&["containers", "rm", &id])
        }
        ["tag", image, name] => engine.ctr(&["images", "tag", "--force", &long(image), &long(name)]),
        ["image", "rm", .., name] => {
            let name = long(name);
            if stored(engine, &name).is_err() {
                return Err(format!("no such image: {name}"));
            }
            engine.ctr(&["images", "rm", "--sync", &name])
        }
        ["image", "inspect", "--format", "{{.Id}}", name] => Ok(configuration(engine, name)?.0),
        ["image", "inspect", name] => Ok(configuration(engine, name)?.1),
        ["--config", settings, "push", "--quiet", name] => {
            let file = Path::new(settings).join("config.json");
            let file = read(&file).ok_or("the client's settings are missing")?;
            let auth =
                file["auths"].as_object().and_then(|all| all.values().next()?["auth"].as_str().map(str::to_owned));
            let user = base64::engine::general_purpose::STANDARD.decode(auth.unwrap_or_default());
            let user = String::from_utf8(user.unwrap_or_default()).unwrap_or_default();
            engine.ctr(&["images", "push", "--plain-http", "--user", &user, name])
        }
        ["volume", "create", labels @ .., name] => {
            let description = json!({ "Labels": labelled(labels) }).to_string();
            let data = volume(engine, name)?.join("_data");
            std::fs::create_dir_all(&data).map_err(|error| error.to_string())?;
            std::fs::write(data.with_file_name("volume.json"), description).map_err(|error| error.to_string())?;
            Ok((*name).to_owned())
        }
        ["volume", "inspect", rest @ ..] => {
            let name = rest.last().ok_or("which volume?")?;
            let description = read(&volume(engine, name)?.join("volume.json")).ok_or("no such volume")?;
            let label = rest.iter().find_map(|word| word.split('"').nth(1));
            Ok(label
                .map_or(String::new(), |label| description["Labels"][label].as_str().unwrap_or_default().to_owned()))
        }
        ["volume", "rm", name] => {
            std::fs::remove_dir_all(volume(engine, name)?).map_err(|error| error.to_string())?;
            Ok(String::new())
        }
        _ => Err(format!("{arguments:?} is not known on containerd")),
    }
}

/// A name as containerd's image store has it.
fn long(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let tag = if last.contains(':') { "" } else { ":latest" };
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) => format!("{name}{tag}"),
        Some(_) => format!("docker.io/{name}{tag}"),
        None => format!("docker.io/library/{name}{tag}"),
    }
}

/// The digest that a name stands for.
fn stored(engine: &Engine, name: &str) -> Result<String, String> {
    let list = engine.ctr(&["images", "ls", &format!("name=={name}")])?;
    let digest = list.split_whitespace().find(|word| word.starts_with("sha256:"));
    digest.map(str::to_owned).ok_or_else(|| format!("no such image: {name}"))
}

/// Digest and text of an image's configuration.
fn configuration(engine: &Engine, name: &str) -> Result<(String, String), String> {
    let mut digest = stored(engine, &long(name))?;
    loop {
        let text = engine.ctr(&["content", "get", &digest])?;
        let document: Value = serde_json::from_str(&text).map_err(|error| format!("{digest}: {error}"))?;
        let text_of = |value: &Value| value["digest"].as_str().map(str::to_owned);
        match (text_of(&document["config"]), text_of(&document["manifests"][0])) {
            (Some(config), _) => {
                let text = engine.ctr(&["content", "get", &config])?;
                return Ok((config, text));
            }
            (None, Some(next)) => digest = next,
            (None, None) => return Err(format!("{digest} is no image: {text}")),
        }
    }
}

/// The identity of a container by nerdctl's label.
fn named(engine: &Engine, name: &str) -> Result<String, String> {
    let filter = format!("labels.\"nerdctl/name\"==\"{name}\"");
    let id = engine.ctr(&["containers", "ls", "-q", &filter, &format!("id==\"{name}\"")])?;
    if id.trim().is_empty() { Err(format!("no such container: {name}")) } else { Ok(id.trim().to_owned()) }
}

/// The directory of a volume: nerdctl's, by the digest of the socket's path.
fn volume(engine: &Engine, name: &str) -> Result<PathBuf, String> {
    let script = format!("printf %s '{}' | sha256sum", engine.socket);
    let output = Command::new("sh").args(["-c", &script]).output().map_err(|error| error.to_string())?;
    let digest = String::from_utf8_lossy(&output.stdout).chars().take(8).collect::<String>();
    Ok(Path::new("/var/lib/nerdctl").join(digest).join("volumes").join(engine.namespace()).join(name))
}

fn path_of(engine: &Engine, name: &str) -> PathBuf {
    networks_directory(engine).join(format!("nerdctl-{name}.conflist"))
}

fn inspect_network(engine: &Engine, name: &str) -> Result<Value, String> {
    read(&path_of(engine, name)).ok_or_else(|| format!("no such network: {name}"))
}

/// The values of `--label=KEY=VALUE`.
fn labelled(flags: &[&str]) -> BTreeMap<String, String> {
    let pairs = flags.iter().filter_map(|flag| flag.strip_prefix("--label=")?.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Runs a container that belongs to no project of the case: a service of a project of its own.
fn run(engine: &Engine, flags: &[&str], image: &str, command: &str) -> Result<String, String> {
    let mut service = json!({ "image": image, "command": command, "stop_signal": "SIGKILL" });
    let mut networks = json!({});
    for pair in flags.chunks_exact(2) {
        let [flag, value] = *pair else { continue };
        match flag {
            "--name" => service["container_name"] = value.into(),
            "--network" => {
                networks = json!({ value: { "external": true, "name": value } });
                service["networks"] = json!([value]);
            }
            "--ipc" => service["ipc"] = value.into(),
            "-v" => service["volumes"] = json!([value]),
            "--label" | "--stop-signal" => {}
            _ => return Err(format!("{pair:?} is not known on containerd")),
        }
    }
    let name = format!("foreign-{}", service["container_name"].as_str().unwrap_or_default());
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text = json!({ "name": name, "services": { "guest": service }, "networks": networks });
    std::fs::write(folder.path().join("compose.yaml"), text.to_string()).map_err(|error| error.to_string())?;
    let output = program(engine)?.current_dir(folder.path()).args(["up", "-d"]).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(String::new()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn create_network(engine: &Engine, name: &str, labels: &BTreeMap<String, String>) -> Result<String, String> {
    if inspect_network(engine, name).is_ok() {
        return Err(format!("network {name} is there already"));
    }
    // A number of its own: FNV-1a over engine and name.
    let number = format!("{}/{name}", engine.name)
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let id = format!("{number:08x}{:056x}", 0);
    let subnet = format!("10.98.{}.0/24", number % 250);
    let network = json!({
        "cniVersion": "1.0.0", "name": name, "nerdctlID": id, "nerdctlLabels": labels,
        "plugins": [
            { "type": "bridge", "bridge": format!("br-{number:08x}"), "isGateway": true, "ipMasq": true,
              "hairpinMode": true,
              "ipam": { "type": "host-local", "ranges": [[{ "subnet": subnet }]],
                        "routes": [{ "dst": "0.0.0.0/0" }] } },
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "firewall", "ingressPolicy": "same-bridge" },
            { "type": "tuning" },
        ],
    });
    let path = path_of(engine, name);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(networks_directory(engine)).map_err(failed)?;
    std::fs::write(&path, network.to_string()).map_err(failed)?;
    Ok(id)
}

/// Removes a project as a user would, with everything on the machine that belongs to it.
pub fn wipe(engine: &Engine, project: &str) {
    let Ok(mut program) = program(engine) else { return };
    let _ = program.args(["-p", project, "down", "--volumes", "--remove-orphans", "--timeout", "0"]).output();
}

/// The program under test on this engine, outside of any project.
fn program(engine: &Engine) -> Result<Command, String> {
    let path = crate::engine::setting("BINARY").ok_or("COMPOSE_TEST_BINARY is not set")?;
    let mut program = Command::new(path);
    program.env_clear().env("PATH", SEARCH_PATH).envs(engine.environment()).current_dir("/");
    program.stdin(std::process::Stdio::null());
    Ok(program)
}
