//! Volumes: directories in nerdctl's layout (`volumes/NAMESPACE/NAME/_data` and `volume.json`),
//! so that both tools see the same ones.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use async_trait::async_trait;
use compose_model::names::{VolumeKey, VolumeName};
use compose_planner::labels::{CONFIG_HASH, PROJECT, VOLUME};
use compose_planner::observed;
use compose_planner::spec::VolumeSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{Outcome, VolumeDescription, Volumes};
use serde::{Deserialize, Serialize};

use crate::client::{local, random_hex, unsupported};
use crate::core::{Core, name_of, private_directory, write_atomically};
use crate::record::Record;

/// `volume.json`. nerdctl knows `Labels` alone and leaves the rest as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Description {
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: BTreeMap<String, String>,
}

/// Marks a volume that a container made for itself.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Whether text can be a volume's name: it becomes a directory's.
fn valid(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

impl Core {
    /// Directory of a volume.
    fn volume_directory(&self, name: &str) -> Result<PathBuf> {
        if valid(name) {
            Ok(self.volumes_directory().join(name))
        } else {
            Err(RuntimeError::Invalid { message: format!("`{name}` is no valid volume name") })
        }
    }

    /// The description of a volume and its data directory, if it is there.
    pub(crate) fn volume(&self, name: &str) -> Result<Option<(Description, PathBuf)>> {
        let directory = self.volume_directory(name)?;
        let data = directory.join("_data");
        if !data.is_dir() {
            return Ok(None);
        }
        let description = match std::fs::read(directory.join("volume.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(_) => Description::default(),
        };
        Ok(Some((description, data)))
    }

    /// Makes a volume where it is missing; returns whether it was, and its data directory.
    pub(crate) fn ensure_volume(&self, name: &str, wanted: &Description) -> Result<(bool, Description, PathBuf)> {
        if let Some((description, data)) = self.volume(name)? {
            return Ok((false, description, data));
        }
        let directory = self.volume_directory(name)?;
        let data = directory.join("_data");
        private_directory(&directory)?;
        let bytes = serde_json::to_vec_pretty(wanted).map_err(|error| local("volume.json", error))?;
        write_atomically(&directory.join("volume.json"), &bytes)?;
        match std::fs::create_dir(&data) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(local(data.display(), error));
            }
            _ => {}
        }
        // The directory is what the container sees: others than root may work in it.
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755))
            .map_err(|error| local(data.display(), error))?;
        Ok((true, wanted.clone(), data))
    }

    /// Makes a volume that only one container knows.
    pub(crate) fn anonymous_volume(&self, labels: &BTreeMap<String, String>) -> Result<(String, PathBuf)> {
        let name = random_hex(32)?;
        let mut labels = labels.clone();
        labels.insert(ANONYMOUS.to_owned(), String::new());
        let (_, _, data) = self.ensure_volume(&name, &Description { labels, ..Description::default() })?;
        Ok((name, data))
    }

    /// Removes a volume's directory.
    pub(crate) fn delete_volume(&self, name: &str) -> Result<Outcome> {
        let directory = self.volume_directory(name)?;
        match std::fs::remove_dir_all(&directory) {
            Ok(()) => Ok(Outcome::Done),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Outcome::AlreadySo),
            Err(error) => Err(local(directory.display(), error)),
        }
    }

    fn all_volumes(&self) -> Result<BTreeMap<String, (Description, PathBuf)>> {
        let directory = self.volumes_directory();
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(local(directory.display(), error)),
        };
        let mut all = BTreeMap::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if valid(&name)
                && let Some(found) = self.volume(&name)?
            {
                all.insert(name, found);
            }
        }
        Ok(all)
    }

    pub(crate) fn observe_volumes(&self) -> Result<BTreeMap<VolumeName, observed::Volume>> {
        let observe = |(name, (description, _)): (String, (Description, PathBuf))| {
            let label = |key: &str| description.labels.get(key).map(String::as_str);
            let volume = observed::Volume {
                project: label(PROJECT).map(Into::into),
                key: label(VOLUME).map(VolumeKey::from),
                config_hash: label(CONFIG_HASH).map(str::to_owned),
                driver: "local".to_owned(),
            };
            (VolumeName::new(name), volume)
        };
        Ok(self.all_volumes()?.into_iter().map(observe).collect())
    }
}

#[async_trait]
impl Volumes for Core {
    async fn create(&self, spec: &VolumeSpec) -> Result<Outcome> {
        if !matches!(spec.driver.as_str(), "" | "local") {
            return Err(unsupported(&format!("use the volume driver `{}`: only `local` is there", spec.driver)));
        }
        if spec.driver_opts.get("type").is_some_and(|kind| kind == "tmpfs") {
            return Err(unsupported("share a volume of type tmpfs; use `tmpfs:` of the service"));
        }
        let wanted = Description { labels: spec.labels.clone(), options: spec.driver_opts.clone() };
        let (made, ..) = self.ensure_volume(spec.name.as_str(), &wanted)?;
        Ok(if made { Outcome::Done } else { Outcome::AlreadySo })
    }

    async fn remove(&self, volume: &VolumeName) -> Result<Outcome> {
        for container in self.records(&[]).await? {
            let uses = |record: &Record| record.mounts.iter().any(|mount| mount.volume.as_ref() == Some(volume));
            if Record::of(&container).as_ref().is_some_and(uses) {
                return Err(RuntimeError::Conflict {
                    message: format!("volume is in use - [{}]", name_of(&container)),
                });
            }
        }
        self.delete_volume(volume.as_str())
    }

    async fn list(&self, labels: &[(String, Option<String>)]) -> Result<Vec<VolumeDescription>> {
        let fits = |description: &Description| {
            labels.iter().all(|(key, value)| {
                description.labels.get(key).is_some_and(|got| value.as_ref().is_none_or(|value| value == got))
            })
        };
        let describe = |(name, (description, data)): (String, (Description, PathBuf))| VolumeDescription {
            name,
            driver: "local".to_owned(),
            mountpoint: data.display().to_string(),
            scope: "local".to_owned(),
            labels: description.labels,
        };
        Ok(self.all_volumes()?.into_iter().filter(|(_, (found, _))| fits(found)).map(describe).collect())
    }
}
