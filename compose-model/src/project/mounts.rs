//! Mounts of a container.

use serde::{Deserialize, Serialize};

use crate::units::ByteSize;

use super::{Extensions, StringMap, is_none_or_true, is_zero};

/// `bind` of a mount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each field is the attribute of the same name in the specification.
pub struct BindOptions {
    #[serde(skip_serializing_if = "is_zero")]
    pub selinux: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub propagation: String,
    /// Unset means yes; printed and hashed only where it is `false`.
    #[serde(skip_serializing_if = "is_none_or_true")]
    pub create_host_path: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    pub recursive: String,
    #[serde(rename = "x-*", skip_serializing_if = "is_zero")]
    pub extensions: Extensions,
}

plain! {
    /// One mount, long form.
    Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
        #[serde(rename = "type")]
        kind: String,
        /// Absolute path, volume key or image; empty: an anonymous volume.
        source: String,
        target: String,
        read_only: bool,
        consistency: String,
        bind: Option<BindOptions>,
        volume: Option<VolumeOptions>,
        tmpfs: Option<TmpfsOptions>,
        image: Option<ImageOptions>,
    }
    /// `volume` of a mount.
    VolumeOptions {
        labels: StringMap,
        nocopy: bool,
        subpath: String,
    }
    /// `tmpfs` of a mount.
    TmpfsOptions {
        size: ByteSize,
        mode: u32,
    }
    /// `image` of a mount.
    ImageOptions {
        subpath: String,
    }
}
