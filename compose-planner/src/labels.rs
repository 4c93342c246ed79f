//! The labels that resources carry: the contract by which Docker Compose and this program adopt
//! each other's projects (same keys, same values). Keys of our own are below [`OWN_PREFIX`].

/// The project's name; the key of every look-up.
pub const PROJECT: &str = "com.docker.compose.project";
/// The service's name.
pub const SERVICE: &str = "com.docker.compose.service";
/// SHA-256 of the resolved service, network or volume. A container without it is not ours.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// The replica's number, from 1; absent on one-off containers.
pub const CONTAINER_NUMBER: &str = "com.docker.compose.container-number";
/// `True` or `False`.
pub const ONEOFF: &str = "com.docker.compose.oneoff";
/// 64 hex digits that make a one-off's name unique.
pub const SLUG: &str = "com.docker.compose.slug";
/// `dependency:condition:restart`, comma-separated; empty when there are none.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The identity of the image in use.
pub const IMAGE: &str = "com.docker.compose.image";
/// Digests of image mounts, `target=digest`, comma-separated.
pub const IMAGE_VOLUME_DIGEST: &str = "com.docker.compose.image-volume-digest";
/// Absolute project directory.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// Absolute paths of the Compose files, comma-separated.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// Absolute paths of `--env-file` arguments, comma-separated.
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
/// The version of Docker Compose whose contract the resource follows.
pub const VERSION: &str = "com.docker.compose.version";
/// `SERVICE-NUMBER` of the container that this one replaces.
pub const REPLACE: &str = "com.docker.compose.replace";
/// The network's key in the file.
pub const NETWORK: &str = "com.docker.compose.network";
/// The volume's key in the file.
pub const VOLUME: &str = "com.docker.compose.volume";
/// `pre_start` on a hook's container.
pub const HOOK: &str = "com.docker.compose.hook";
/// The hook's index.
pub const HOOK_INDEX: &str = "com.docker.compose.hook-index";

/// The value of [`VERSION`] that we write: the release of the reference whose rules we follow.
pub const COMPOSE_VERSION: &str = "5.6.1";

/// Prefix of the labels that only this program writes.
pub const OWN_PREFIX: &str = "dev.compose.";
/// Digests of the attribute groups of a service, `group=12 hex digits`, comma-separated, so that
/// the reason of a replacement can name what changed.
pub const GROUPS: &str = "dev.compose.groups";
/// Digest of the contents of the files, configs and secrets that reach the container.
pub const CONTENTS: &str = "dev.compose.contents";
