//! Devices by name (Container Device Interface): what a vendor's file says about `vendor.com/class=name`
//! is worked into a container's specification. Rules: the CDI specification, version 0.8.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use compose_model::diagnostic::Diagnostics;
use compose_model::source::SourceMap;
use compose_model::tree;
use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde_json::{Value, json};

use crate::client::local;

/// Where the files are; one of the second directory goes before one of the first.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The names of all devices that the files describe.
pub(crate) fn names() -> BTreeSet<String> {
    names_in(&read(&DIRECTORIES.map(Path::new)))
}

fn names_in(files: &[Value]) -> BTreeSet<String> {
    let of_file = |file: &Value| {
        let kind = file["kind"].as_str().unwrap_or_default().to_owned();
        let names: Vec<&str> = list(&file["devices"]).filter_map(|device| device["name"].as_str()).collect();
        names.into_iter().map(|name| format!("{kind}={name}")).collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

/// Works all named devices of a container into its specification.
pub(crate) fn apply(spec: &ContainerSpec, document: &mut Value) -> Result<()> {
    let named = spec.devices.iter().filter(|device| device.is_named());
    let names: Vec<&str> = named.map(|device| device.source.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    edit(&names, &read(&DIRECTORIES.map(Path::new)), document)
}

/// The files, those that go before others first. One that cannot be read has no devices.
fn read(directories: &[&Path]) -> Vec<Value> {
    let mut found = Vec::new();
    for directory in directories.iter().rev() {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => found.extend(serde_json::from_str::<Value>(&text)),
                Some("yaml" | "yml") => found.extend(from_yaml(&path.display().to_string(), &text)),
                _ => {}
            }
        }
    }
    found
}

fn from_yaml(name: &str, text: &str) -> Option<Value> {
    let (mut sources, mut diagnostics) = (SourceMap::new(), Diagnostics::new());
    let source = sources.add(name, text);
    let documents = compose_model::parse::parse(source, text, &mut diagnostics);
    documents.first().map(|document| plain(&document.root))
}

fn plain(node: &tree::Node) -> Value {
    match &node.value {
        tree::Value::Mapping(mapping) => {
            Value::Object(mapping.iter().map(|(key, entry)| (key.to_string(), plain(&entry.value))).collect())
        }
        tree::Value::Sequence(items) => Value::Array(items.iter().map(plain).collect()),
        tree::Value::Scalar(scalar) => match scalar.typed {
            tree::Typed::Null => Value::Null,
            tree::Typed::Bool(value) => value.into(),
            tree::Typed::Int(value) => value.into(),
            tree::Typed::Uint(value) => value.into(),
            tree::Typed::Float(value) => value.into(),
            tree::Typed::Time | tree::Typed::Text => scalar.text.to_string().into(),
        },
    }
}

fn edit(names: &[&str], files: &[Value], document: &mut Value) -> Result<()> {
    let mut whole: Vec<&Value> = Vec::new();
    for name in names {
        let (kind, device) = name.split_once('=').unwrap_or((name, ""));
        let of_kind = files.iter().filter(|file| file["kind"] == kind);
        let found = of_kind.filter_map(|file| {
            let devices = file["devices"].as_array()?;
            Some((file, devices.iter().find(|one| one["name"] == device)?))
        });
        let Some((file, device)) = found.into_iter().next() else {
            return Err(RuntimeError::NotFound {
                message: format!(
                    "no file in {} describes the device {name}; install its vendor's CDI files",
                    DIRECTORIES.join(" or ")
                ),
            });
        };
        work_in(&device["containerEdits"], document)?;
        // What a file says for all its devices is done once.
        if !whole.iter().any(|known| std::ptr::eq(*known, file)) {
            whole.push(file);
            work_in(&file["containerEdits"], document)?;
        }
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn push(place: &mut Value, item: Value) {
    if let Some(items) = place.as_array_mut() {
        items.push(item);
    } else {
        *place = json!([item]);
    }
}

fn work_in(edits: &Value, document: &mut Value) -> Result<()> {
    for variable in list(&edits["env"]).filter_map(Value::as_str) {
        let key = variable.split('=').next().unwrap_or_default();
        if let Some(environment) = document["process"]["env"].as_array_mut() {
            environment.retain(|one| one.as_str().and_then(|one| one.split('=').next()) != Some(key));
        }
        push(&mut document["process"]["env"], variable.into());
    }
    for node in list(&edits["deviceNodes"]) {
        device_node(node, document)?;
    }
    for mount in list(&edits["mounts"]) {
        let kind = mount["type"].as_str().unwrap_or("bind");
        let options = if mount["options"].is_array() { mount["options"].clone() } else { json!(["rbind", "ro"]) };
        push(
            &mut document["mounts"],
            json!({
                "destination": mount["containerPath"], "source": mount["hostPath"], "type": kind, "options": options
            }),
        );
    }
    for hook in list(&edits["hooks"]) {
        let Some(name) = hook["hookName"].as_str() else { continue };
        let mut own = hook.clone();
        if let Some(own) = own.as_object_mut() {
            own.remove("hookName");
        }
        push(&mut document["hooks"][name], own);
    }
    for group in list(&edits["additionalGids"]) {
        push(&mut document["process"]["user"]["additionalGids"], group.clone());
    }
    Ok(())
}

fn device_node(node: &Value, document: &mut Value) -> Result<()> {
    let inside = node["path"].as_str().unwrap_or_default();
    let outside = node["hostPath"].as_str().filter(|path| !path.is_empty()).unwrap_or(inside);
    let (mut kind, mut major, mut minor) = (node["type"].as_str(), node["major"].as_i64(), node["minor"].as_i64());
    let mut mode = node["fileMode"].as_i64();
    if kind.is_none() || (kind != Some("p") && (major.is_none() || minor.is_none())) {
        let metadata = std::fs::metadata(outside).map_err(|error| local(outside, error))?;
        let found = metadata.file_type();
        kind = Some(if found.is_block_device() { "b" } else { "c" });
        if !found.is_block_device() && !found.is_char_device() {
            return Err(RuntimeError::Invalid { message: format!("{outside} is no device") });
        }
        major = Some(i64::from(rustix::fs::major(metadata.rdev())));
        minor = Some(i64::from(rustix::fs::minor(metadata.rdev())));
        mode = mode.or(Some(i64::from(metadata.mode() & 0o777)));
    }
    let number = |key: &str| node[key].as_i64().unwrap_or(0);
    push(
        &mut document["linux"]["devices"],
        json!({
            "path": inside, "type": kind, "major": major, "minor": minor, "fileMode": mode.unwrap_or(0o666),
            "uid": number("uid"), "gid": number("gid"),
        }),
    );
    let access = node["permissions"].as_str().filter(|text| !text.is_empty()).unwrap_or("rwm");
    if kind != Some("p") {
        push(
            &mut document["linux"]["resources"]["devices"],
            json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access }),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
cdiVersion: 0.6.0
kind: acme.org/sensor
containerEdits: {env: [ACME=all]}
devices:
  - name: one
    containerEdits:
      env: [ACME_ONE=1, PATH=/acme]
      deviceNodes: [{path: /dev/acme, hostPath: /dev/null, permissions: r}]
      mounts: [{hostPath: /etc/hostname, containerPath: /acme, options: [ro, bind]}]
      hooks: [{hookName: createContainer, path: /bin/true, args: ['true']}]
  - name: two
    containerEdits: {env: [ACME_TWO=2]}
";

    #[test]
    fn a_named_device_brings_its_nodes_mounts_variables_and_hooks() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("acme.yaml"), FILE).unwrap();
        std::fs::write(directory.path().join("broken.json"), "{").unwrap();
        let files = read(&[directory.path()]);
        assert_eq!(names_in(&files).into_iter().collect::<Vec<_>>(), ["acme.org/sensor=one", "acme.org/sensor=two"]);
        let mut document = json!({
            "process": { "env": ["PATH=/bin", "A=b"] }, "mounts": [],
            "linux": { "devices": [], "resources": { "devices": [] } },
        });
        edit(&["acme.org/sensor=one", "acme.org/sensor=two"], &files, &mut document).unwrap();
        let wanted = json!({
            "process": { "env": ["A=b", "ACME_ONE=1", "PATH=/acme", "ACME=all", "ACME_TWO=2"] },
            "mounts": [{
                "destination": "/acme", "source": "/etc/hostname", "type": "bind", "options": ["ro", "bind"]
            }],
            "linux": {
                "devices": [{
                    "path": "/dev/acme", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0
                }],
                "resources": { "devices": [{
                    "allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"
                }] },
            },
            "hooks": { "createContainer": [{ "path": "/bin/true", "args": ["true"] }] },
        });
        assert_eq!(document, wanted);
    }

    #[test]
    fn a_device_that_nobody_describes_is_named() {
        let error = edit(&["acme.org/sensor=nine"], &[], &mut json!({})).unwrap_err().to_string();
        assert!(error.contains("acme.org/sensor=nine") && error.contains("/etc/cdi"), "{error}");
    }
}
