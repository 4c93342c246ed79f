//! Volumes, binds, temporary file systems, secrets and configs.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::project::{FileObject, FileReference, Mount, Place, Service, StringMap};

use super::Role;
use crate::error::PlanError;
use crate::hashes::ContentKind;
use crate::on_change::{self, OnChange};
use crate::spec::{FileContent, FileSpec, MountSource, MountSpec};
use crate::world::World;

pub(super) fn mounts(world: &World<'_>, service: &Service, role: Role<'_>) -> Result<Vec<MountSpec>, PlanError> {
    let old = match role {
        Role::Replica { replaces: Some(old), carry_volumes: true, .. } => Some(old),
        _ => None,
    };
    let mut mounts = Vec::new();
    for (index, mount) in service.volumes.iter().enumerate() {
        let source = source(world, service, index, mount, old)?;
        mounts.push(MountSpec {
            target: mount.target.clone(),
            read_only: mount.read_only,
            consistency: mount.consistency.clone(),
            source,
            place: world.place(&service.name, &format!("volumes.{index}")),
        });
    }
    if let Some(old) = old {
        carry_image_volumes(world, service, old, &mut mounts);
    }
    each_file(world, service, |File { secret, reference, object, on_change, place }| {
        if is_bind(reference, object, &on_change) {
            mounts.push(MountSpec {
                target: target(secret, reference),
                read_only: true,
                consistency: String::new(),
                source: MountSource::Bind {
                    path: object.file.clone(),
                    create_host_path: false,
                    propagation: String::new(),
                    recursive: String::new(),
                    selinux: String::new(),
                },
                place,
            });
        }
    })?;
    Ok(mounts)
}

/// Secrets and configs that are copied in before each start.
pub(crate) fn files(world: &World<'_>, service: &Service) -> Result<Vec<FileSpec>, PlanError> {
    let mut files = Vec::new();
    each_file(world, service, |File { secret, reference, object, on_change, .. }| {
        if !is_bind(reference, object, &on_change) {
            files.push(file(world, secret, reference, object, target(secret, reference)));
        }
    })?;
    Ok(files)
}

/// Whether a variable that a config or secret of the service comes from is not set now: what runs with
/// an earlier value must not be replaced by something that cannot start.
pub(crate) fn lacks_content(world: &World<'_>, service: &Service) -> bool {
    let mut lacks = false;
    let read = each_file(world, service, |File { secret, reference, object, .. }| {
        let kind = if secret { ContentKind::Secret } else { ContentKind::Config };
        lacks |= !object.environment.is_empty()
            && !world.project.environment.contains_key(&object.environment)
            && !world.observed.contents.contains_key(&kind.key(&reference.source));
    });
    lacks || read.is_err()
}

/// What a change of each config and secret of the service does, by `config.NAME` and `secret.NAME`;
/// where one is referred to twice, the stronger counts.
pub(crate) fn on_change(world: &World<'_>, service: &Service) -> Result<BTreeMap<String, Watched>, PlanError> {
    let mut found: BTreeMap<String, Watched> = BTreeMap::new();
    each_file(world, service, |File { secret, reference, object, on_change, .. }| {
        let kind = if secret { ContentKind::Secret } else { ContentKind::Config };
        let key = kind.key(&reference.source);
        let place = if object.file.is_empty() {
            world.project.origins.nearest(&format!("{}s.{}", kind.word(), reference.source)).map(ToString::to_string)
        } else {
            Some(object.file.clone())
        };
        let name = format!("{} {}", kind.word(), reference.source);
        let shown = place.map_or_else(|| name.clone(), |place| format!("{name} ({place})"));
        let entry = found.entry(key).or_insert_with(|| Watched { on_change: on_change.clone(), shown });
        if on_change > entry.on_change {
            entry.on_change = on_change;
        }
    })?;
    Ok(found)
}

/// What a change of one config or secret does.
pub(crate) struct Watched {
    pub(crate) on_change: OnChange,
    /// Its name and where its content is written, for reasons.
    pub(crate) shown: String,
}

/// A file of the host is mounted, unless an owner or a mode is asked for, or what was delivered has
/// to be told from what the host has.
fn is_bind(reference: &FileReference, object: &FileObject, on_change: &OnChange) -> bool {
    !object.file.is_empty()
        && reference.uid.is_empty()
        && reference.gid.is_empty()
        && reference.mode.is_none()
        && !on_change.needs_copy()
}

/// A config or secret of a service.
struct File<'f> {
    secret: bool,
    reference: &'f FileReference,
    object: &'f FileObject,
    on_change: OnChange,
    place: Option<Place>,
}

/// Calls `each` for every config and secret of the service.
fn each_file(world: &World<'_>, service: &Service, mut each: impl FnMut(File<'_>)) -> Result<(), PlanError> {
    for (secret, references) in [(false, &service.configs), (true, &service.secrets)] {
        let kind = if secret { "secret" } else { "config" };
        for (index, reference) in references.iter().enumerate() {
            let place = world.place(&service.name, &format!("{kind}s.{index}"));
            let objects = if secret {
                world.project.secrets.get(reference.source.as_str())
            } else {
                world.project.configs.get(reference.source.as_str())
            };
            let Some(object) = objects else {
                return Err(PlanError::Undefined {
                    service: service.name.clone(),
                    kind,
                    name: reference.source.clone(),
                    place,
                });
            };
            if let Some(problem) = only_in_swarm(kind, reference, object) {
                return Err(PlanError::Invalid {
                    service: service.name.clone(),
                    attribute: format!("{kind}s"),
                    problem,
                    place,
                });
            }
            let on_change = on_change::of(reference, object).map_err(|problem| PlanError::Invalid {
                service: service.name.clone(),
                attribute: format!("{kind}s {}: {}", reference.source, on_change::ATTRIBUTE),
                problem,
                place: place.clone(),
            })?;
            each(File { secret, reference, object, on_change, place });
        }
    }
    Ok(())
}

/// What a config or secret has that only a Swarm knows, in the reference's words.
fn only_in_swarm(kind: &str, reference: &FileReference, object: &FileObject) -> Option<String> {
    if object.external {
        return Some(format!("unsupported external {kind} {}", reference.source));
    }
    let drivers = [("driver", &object.driver), ("template_driver", &object.template_driver)];
    let (attribute, _) = drivers.into_iter().find(|(_, driver)| !driver.is_empty())?;
    Some(format!("Docker Compose does not support {kind}s.*.{attribute}"))
}

/// Secrets land in `/run/secrets`, configs in the root; absolute targets are honoured.
fn target(secret: bool, reference: &FileReference) -> String {
    let name = if reference.target.is_empty() { &reference.source } else { &reference.target };
    if name.starts_with('/') || name.get(1..3).is_some_and(|text| text == ":\\") {
        name.clone()
    } else if secret {
        format!("/run/secrets/{name}")
    } else {
        format!("/{name}")
    }
}

fn file(world: &World<'_>, secret: bool, reference: &FileReference, object: &FileObject, target: String) -> FileSpec {
    let content = if !object.environment.is_empty() {
        FileContent::Environment { variable: object.environment.clone() }
    } else if !object.file.is_empty() {
        FileContent::File { path: object.file.clone() }
    } else {
        FileContent::Inline { text: object.content.clone() }
    };
    let name = if object.name.is_empty() {
        format!("{}_{}", world.project.name, reference.source)
    } else {
        object.name.clone()
    };
    let kind = if secret { ContentKind::Secret } else { ContentKind::Config };
    FileSpec {
        secret,
        object: kind.key(&reference.source),
        name,
        target,
        content,
        uid: reference.uid.clone(),
        gid: reference.gid.clone(),
        mode: reference.mode.and_then(|mode| u32::try_from(mode.0).ok()).unwrap_or(0o444),
    }
}

fn source(
    world: &World<'_>,
    service: &Service,
    index: usize,
    mount: &Mount,
    old: Option<&crate::observed::Container>,
) -> Result<MountSource, PlanError> {
    let volume = mount.volume.as_ref();
    let (nocopy, subpath, labels) = volume.map_or((false, String::new(), StringMap::new()), |options| {
        (options.nocopy, options.subpath.clone(), options.labels.clone())
    });
    Ok(match mount.kind.as_str() {
        "bind" => {
            let bind = mount.bind.clone().unwrap_or_default();
            MountSource::Bind {
                path: mount.source.clone(),
                create_host_path: bind.create_host_path.unwrap_or(true),
                propagation: bind.propagation,
                recursive: bind.recursive,
                selinux: bind.selinux,
            }
        }
        "tmpfs" => {
            let tmpfs = mount.tmpfs.clone().unwrap_or_default();
            MountSource::Tmpfs { size: tmpfs.size, mode: tmpfs.mode }
        }
        "image" => MountSource::Image {
            image: mount.source.as_str().into(),
            subpath: mount.image.as_ref().map(|image| image.subpath.clone()).unwrap_or_default(),
        },
        "npipe" => MountSource::NamedPipe { path: mount.source.clone() },
        "cluster" => MountSource::Cluster { name: mount.source.clone() },
        _ if mount.source.is_empty() => {
            let carried = old.and_then(|old| {
                old.mounts
                    .iter()
                    .find(|there| there.target == mount.target && there.kind == "volume")
                    .and_then(|there| there.volume.clone())
            });
            MountSource::Anonymous { carried, nocopy, subpath, labels }
        }
        _ => {
            if !world.project.volumes.contains_key(mount.source.as_str()) {
                return Err(PlanError::Undefined {
                    service: service.name.clone(),
                    kind: "volume",
                    name: mount.source.clone(),
                    place: world.place(&service.name, &format!("volumes.{index}")),
                });
            }
            let name = world.volume_name(&mount.source.as_str().into());
            let selinux = mount.bind.as_ref().map(|bind| bind.selinux.clone()).unwrap_or_default();
            MountSource::Volume { name: name.into(), nocopy, subpath, labels, selinux }
        }
    })
}

/// Anonymous volumes that the image asked for are taken over by name.
fn carry_image_volumes(
    world: &World<'_>,
    service: &Service,
    old: &crate::observed::Container,
    mounts: &mut Vec<MountSpec>,
) {
    let taken: BTreeSet<String> = mounts
        .iter()
        .map(|mount| mount.target.clone())
        .chain(service.tmpfs.iter().map(|text| text.split(':').next().unwrap_or(text).to_owned()))
        .collect();
    let declared = world.image(&world.image_reference(service)).map(|image| &image.volumes);
    for there in &old.mounts {
        let Some(volume) = &there.volume else { continue };
        if there.kind != "volume" || taken.contains(&there.target) {
            continue;
        }
        // What came with another container is that one's to give again.
        let anonymous = is_anonymous(volume.as_str()) && service.volumes_from.is_empty();
        if declared.is_some_and(|paths| paths.contains(&there.target)) || anonymous {
            mounts.push(MountSpec {
                target: there.target.clone(),
                read_only: false,
                consistency: String::new(),
                source: MountSource::Anonymous {
                    carried: Some(volume.clone()),
                    nocopy: false,
                    subpath: String::new(),
                    labels: StringMap::new(),
                },
                place: None,
            });
        }
    }
}

/// Engines name anonymous volumes with 64 hex digits.
pub(crate) fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
