//! The media types and annotations of a project in a registry, as the reference writes them.

/// Kind of the artifact.
pub(crate) const PROJECT: &str = "application/vnd.docker.compose.project";
/// Its configuration, where the manifest has no kind of artifact.
pub(crate) const EMPTY_CONFIG: &str = "application/vnd.docker.compose.config.empty.v1+json";
/// A Compose file.
pub(crate) const COMPOSE_FILE: &str = "application/vnd.docker.compose.file+yaml";
/// An env file of a service.
pub(crate) const ENV_FILE: &str = "application/vnd.docker.compose.envfile";
/// Annotation: the name of a Compose file.
pub(crate) const FILE_NAME: &str = "com.docker.compose.file";
/// Annotation: the name of an env file.
pub(crate) const ENV_FILE_NAME: &str = "com.docker.compose.envfile";
/// Annotation: the file is extended by another one.
pub(crate) const EXTENDS: &str = "com.docker.compose.extends";
/// Annotation: the version that wrote it.
pub(crate) const VERSION: &str = "com.docker.compose.version";
