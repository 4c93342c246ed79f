//! `commit`: an image from a container's own layer and its configuration.

use std::collections::BTreeMap;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::CommitOptions;
use containerd_client::services::v1::snapshots::{MountsRequest, ViewSnapshotRequest};
use containerd_client::services::v1::{Container, DiffRequest, InfoRequest, PauseTaskRequest};
use containerd_client::types::Descriptor;
use containerd_client::types::v1::Status;
use serde_json::{Map, Value, json};

use crate::archive::MANIFEST;
use crate::client::{Client, LONG, local, random_hex};
use crate::content::{self, Source, digest_of};
use crate::core::Core;
use crate::image::Pointer;
use crate::record::{NERDCTL, Record, STATE};
use crate::reference;
use crate::unpacking::unpack;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

impl Core {
    /// Makes the image and returns its identity.
    pub(crate) async fn commit_container(&self, name: &str, options: &CommitOptions) -> Result<String> {
        let (found, _) = self.find_own(name).await?;
        let (_lock, container, record) = self.lock_own(&found.id).await?;
        let stored = match options.reference.as_str() {
            "" => None,
            text => Some(
                reference::canonical(text)
                    .ok_or_else(|| RuntimeError::Invalid { message: format!("invalid reference format: `{text}`") })?,
            ),
        };
        let changes = options.changes.iter().map(|text| change(text)).collect::<Result<Vec<_>>>()?;
        let running = self.task(&container.id).await?.is_some_and(|task| task.status() == Status::Running);
        let lease = self.client.lease().await?;
        let paused = options.pause && running;
        if paused {
            let request = self.client.request(PauseTaskRequest { container_id: container.id.clone() });
            self.client.call("Tasks.Pause", self.client.tasks().pause(request)).await?;
        }
        let layer = self.layer_of(&lease.client, &container, &record).await;
        if paused {
            self.resume_task(&container.id).await?;
        }
        let made = match layer {
            Ok(layer) => self.make_image(&lease.client, &container, &record, options, &changes, layer, stored).await,
            Err(error) => Err(error),
        };
        lease.end().await;
        made
    }

    /// What the container changed, as a layer: its descriptor and the digest of its plain form.
    async fn layer_of(&self, client: &Client, container: &Container, record: &Record) -> Result<(Descriptor, String)> {
        let (_, image) = self.image_of(record).await?;
        let key = format!("commit-{}", random_hex(8)?);
        let request = client.request(ViewSnapshotRequest {
            snapshotter: container.snapshotter.clone(),
            key: key.clone(),
            parent: image.chain_id(),
            labels: Default::default(),
        });
        let left = client.call("Snapshots.View", client.snapshots().view(request)).await?.mounts;
        let request = client
            .request(MountsRequest { snapshotter: container.snapshotter.clone(), key: container.snapshot_key.clone() });
        let right = client.call("Snapshots.Mounts", client.snapshots().mounts(request)).await?.mounts;
        let request = client.request(DiffRequest {
            left,
            right,
            media_type: LAYER.to_owned(),
            r#ref: key.clone(),
            ..DiffRequest::default()
        });
        let made = client.call_within(LONG, "Diff.Diff", client.diff().diff(request)).await;
        self.remove_snapshot(&key).await;
        let missing = || RuntimeError::Failed { message: "containerd made no layer".to_owned() };
        let layer = made?.diff.ok_or_else(missing)?;
        let request = client.request(InfoRequest { digest: layer.digest.clone() });
        let info = client.call("Content.Info", client.content().info(request)).await?.info.ok_or_else(missing)?;
        let plain = info.labels.get("containerd.io/uncompressed").cloned().unwrap_or_else(|| layer.digest.clone());
        Ok((layer, plain))
    }

    async fn image_of(
        &self,
        record: &Record,
    ) -> Result<(containerd_client::services::v1::Image, crate::image::Resolved)> {
        self.find_image(&record.image_id).await?.ok_or_else(|| RuntimeError::NotFound {
            message: format!("the image of the container ({}) is not there any more", record.image),
        })
    }

    #[allow(clippy::too_many_arguments)] // One step of one procedure, named for its reader.
    async fn make_image(
        &self,
        client: &Client,
        container: &Container,
        record: &Record,
        options: &CommitOptions,
        changes: &[(String, Value)],
        (layer, plain): (Descriptor, String),
        stored: Option<String>,
    ) -> Result<String> {
        let (_, image) = self.image_of(record).await?;
        let bytes = content::read_document(client, &image.id).await?;
        let mut document: Value = serde_json::from_slice(&bytes)
            .map_err(|error| local("the configuration of the container's image", error))?;
        let now = crate::time::text(crate::time::now());
        document["created"] = now.clone().into();
        document["author"] = options.author.clone().into();
        let mut config = document["config"].as_object().cloned().unwrap_or_default();
        describe(&mut config, container, record);
        for (key, value) in changes {
            apply(&mut config, key, value);
        }
        document["config"] = config.into();
        let history = json!({
            "created": now, "created_by": record.command.join(" "), "author": options.author, "comment": options.message,
        });
        push(&mut document["history"], history);
        push(&mut document["rootfs"]["diff_ids"], plain.into());
        let bytes = serde_json::to_vec(&document).map_err(|error| local("image configuration", error))?;
        let mut manifest = image.manifest.clone();
        manifest.config.digest = digest_of(&bytes);
        manifest.config.size = bytes.len() as i64;
        manifest.layers.push(Pointer {
            media_type: layer.media_type,
            digest: layer.digest,
            size: layer.size,
            ..Pointer::default()
        });
        let id = manifest.config.digest.clone();
        content::write(client, &id, Source::Bytes(bytes), BTreeMap::new()).await?;
        let mut labels = BTreeMap::from([("containerd.io/gc.ref.content.config".to_owned(), id.clone())]);
        for (index, layer) in manifest.layers.iter().enumerate() {
            labels.insert(format!("containerd.io/gc.ref.content.l.{index}"), layer.digest.clone());
        }
        let bytes = serde_json::to_vec(&manifest).map_err(|error| local("image manifest", error))?;
        let media_type = if manifest.media_type.is_empty() { MANIFEST.to_owned() } else { manifest.media_type };
        let target = Descriptor {
            media_type,
            digest: digest_of(&bytes),
            size: bytes.len() as i64,
            annotations: Default::default(),
        };
        content::write(client, &target.digest, Source::Bytes(bytes), labels).await?;
        let resolved = crate::image::resolve_exactly(client, &target.digest).await?;
        unpack(client, &self.snapshotter, &resolved).await?;
        // Without a name of its own it would be collected.
        self.put_image(client, &stored.unwrap_or_else(|| id.clone()), target).await?;
        Ok(id)
    }
}

fn push(list: &mut Value, value: Value) {
    match list.as_array_mut() {
        Some(entries) => entries.push(value),
        None => *list = json!([value]),
    }
}

/// The container's own settings over its image's.
fn describe(config: &mut Map<String, Value>, container: &Container, record: &Record) {
    let environment: Vec<&String> = record.own_environment().collect();
    config.insert("Env".to_owned(), json!(environment));
    config.insert("Cmd".to_owned(), json!(record.command));
    config.insert("Entrypoint".to_owned(), json!(record.entrypoint));
    config.insert("User".to_owned(), json!(record.user));
    config.insert("WorkingDir".to_owned(), json!(record.working_dir));
    let kept = |key: &&String| ![NERDCTL, STATE, "containerd.io/"].iter().any(|prefix| key.starts_with(prefix));
    let labels: BTreeMap<&String, &String> = container.labels.iter().filter(|(key, _)| kept(key)).collect();
    config.insert("Labels".to_owned(), json!(labels));
}

/// Reads an instruction of a Dockerfile: the key of the configuration, and what it gets.
fn change(text: &str) -> Result<(String, Value)> {
    let invalid = |why: &str| RuntimeError::Invalid { message: format!("invalid change `{text}`: {why}") };
    let (word, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(invalid("it says nothing"));
    }
    let list = || serde_json::from_str::<Vec<String>>(rest).ok();
    let command = || list().unwrap_or_else(|| ["/bin/sh", "-c", rest].map(str::to_owned).into());
    let words = || list().unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
    let set = |words: Vec<String>| words.into_iter().map(|word| (word, json!({}))).collect::<Map<_, _>>();
    let (key, value) = match word.to_ascii_uppercase().as_str() {
        "CMD" => ("Cmd", json!(command())),
        "ENTRYPOINT" => ("Entrypoint", json!(command())),
        "ENV" => ("Env", json!(pairs(rest))),
        "LABEL" => ("Labels", Value::Object(pairs(rest).into_iter().map(split_pair).collect())),
        "USER" => ("User", json!(rest)),
        "WORKDIR" => ("WorkingDir", json!(rest)),
        "STOPSIGNAL" => ("StopSignal", json!(rest)),
        "VOLUME" => ("Volumes", Value::Object(set(words()))),
        "ONBUILD" => ("OnBuild", json!([rest])),
        "EXPOSE" => {
            let port = |word: String| if word.contains('/') { word } else { format!("{word}/tcp") };
            ("ExposedPorts", Value::Object(set(words().into_iter().map(port).collect())))
        }
        _ => {
            return Err(invalid(
                "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR is expected",
            ));
        }
    };
    Ok((key.to_owned(), value))
}

/// `a=1 b="x y"`, or `a 1` of old.
fn pairs(text: &str) -> Vec<String> {
    if !text.split_whitespace().next().is_some_and(|word| word.contains('=')) {
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return vec![format!("{key}={}", value.trim())];
    }
    let (mut all, mut word, mut quote, mut escaped) = (Vec::new(), String::new(), None, false);
    for character in text.chars() {
        match (character, quote) {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            ('\\', _) => escaped = true,
            (mark, Some(open)) if mark == open => quote = None,
            ('"' | '\'', None) => quote = Some(character),
            (blank, None) if blank.is_whitespace() => all.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    all.push(word);
    all.retain(|word| !word.is_empty());
    all
}

fn split_pair(pair: String) -> (String, Value) {
    match pair.split_once('=') {
        Some((key, value)) => (key.to_owned(), json!(value)),
        None => (pair, json!("")),
    }
}

fn apply(config: &mut Map<String, Value>, key: &str, value: &Value) {
    match (key, config.get_mut(key), value) {
        ("Env", Some(Value::Array(entries)), Value::Array(further)) => {
            for entry in further {
                let name = |value: &Value| value.as_str().and_then(|text| text.split('=').next()).map(str::to_owned);
                entries.retain(|other| name(other) != name(entry));
                entries.push(entry.clone());
            }
        }
        ("OnBuild", Some(Value::Array(entries)), Value::Array(further)) => entries.extend(further.iter().cloned()),
        ("Labels" | "Volumes" | "ExposedPorts", Some(Value::Object(entries)), Value::Object(further)) => {
            entries.extend(further.clone());
        }
        _ => drop(config.insert(key.to_owned(), value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read_as_in_a_dockerfile() {
        for (text, key, value) in [
            ("CMD [\"a\", \"b\"]", "Cmd", json!(["a", "b"])),
            ("cmd a b", "Cmd", json!(["/bin/sh", "-c", "a b"])),
            ("ENV A=1 B=\"x y\" C=d\\ e", "Env", json!(["A=1", "B=x y", "C=d e"])),
            ("ENV A 1 2", "Env", json!(["A=1 2"])),
            ("LABEL l=v", "Labels", json!({"l": "v"})),
            ("EXPOSE 80 53/udp", "ExposedPorts", json!({"80/tcp": {}, "53/udp": {}})),
            ("VOLUME [\"/a b\"]", "Volumes", json!({"/a b": {}})),
        ] {
            assert_eq!(change(text).unwrap(), (key.to_owned(), value), "{text}");
        }
        assert!(change("RUN true").is_err());
        assert!(change("ENV").is_err());
    }

    #[test]
    fn changes_are_added_to_what_is_there() {
        let mut config =
            Map::from_iter([("Env".to_owned(), json!(["A=1", "B=2"])), ("Labels".to_owned(), json!({"a": "1"}))]);
        for text in ["ENV A=3", "LABEL b=2", "USER nobody"] {
            let (key, value) = change(text).unwrap();
            apply(&mut config, &key, &value);
        }
        let wanted = json!({ "Env": ["B=2", "A=3"], "Labels": {"a": "1", "b": "2"}, "User": "nobody" });
        assert_eq!(Value::Object(config), wanted);
    }
}
