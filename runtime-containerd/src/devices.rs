//! Devices of the host that a container gets by their files.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;

use crate::client::{local, unsupported};
use crate::oci::Device;

/// The devices of the host that the container gets.
pub(crate) fn devices(spec: &ContainerSpec) -> Result<Vec<Device>> {
    if !spec.device_requests.is_empty() {
        return Err(unsupported("give a container devices by capability (`gpus`, `reservations.devices`)"));
    }
    let mut found = Vec::new();
    let mut add = |source: &Path, target: String, access: &str| {
        let metadata = std::fs::metadata(source).map_err(|error| local(source.display(), error))?;
        let kind = if metadata.file_type().is_block_device() {
            "b"
        } else if metadata.file_type().is_char_device() {
            "c"
        } else {
            return Err(RuntimeError::Invalid { message: format!("{} is no device", source.display()) });
        };
        found.push(Device {
            path: target,
            kind,
            major: rustix::fs::major(metadata.rdev()),
            minor: rustix::fs::minor(metadata.rdev()),
            mode: metadata.mode() & 0o777,
            access: access.to_owned(),
        });
        Ok(())
    };
    for device in spec.devices.iter().filter(|device| !device.is_named()) {
        let access = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        let target = if device.target.is_empty() { &device.source } else { &device.target };
        let source = Path::new(&device.source);
        if source.is_dir() {
            for entry in std::fs::read_dir(source).map_err(|error| local(source.display(), error))?.flatten() {
                let _ = add(&entry.path(), format!("{target}/{}", entry.file_name().to_string_lossy()), access);
            }
        } else {
            add(source, target.clone(), access)?;
        }
    }
    if spec.privileged {
        for entry in std::fs::read_dir("/dev").map_err(|error| local("/dev", error))?.flatten() {
            let _ = add(&entry.path(), entry.path().display().to_string(), "rwm");
        }
    }
    Ok(found)
}
