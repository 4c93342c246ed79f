//! Registry credentials from Docker's configuration: `auths`, `credHelpers`, `credsStore`.
//!
//! Nothing here is ever logged: the types have no `Debug` that shows a secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use crate::error::{RegistryError, Result};

/// The user that stands for an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// What is known of a login to a registry; all empty where nothing is. Its JSON form is the
/// `AuthConfig` of the Docker Engine API.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // Docker's own words.
pub struct Login {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serveraddress: String,
    /// Stands for user and password, to be exchanged for a token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identitytoken: String,
    /// To be presented as it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registrytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Where credentials come from.
#[derive(Clone, Default)]
pub struct Credentials {
    file: PathBuf,
    inline: Option<String>,
}

impl Credentials {
    /// From `config.json` in a folder (`~/.docker`), and the text of `DOCKER_AUTH_CONFIG`, which
    /// has precedence.
    #[must_use]
    pub fn new(directory: &Path, inline: Option<&str>) -> Self {
        Self { file: directory.join("config.json"), inline: inline.map(str::to_owned) }
    }

    fn configuration(&self) -> Result<Configuration> {
        let text = match std::fs::read(&self.file) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Configuration::default()),
            Err(cause) => return Err(RegistryError::local(format!("cannot read {}: {cause}", self.file.display()))),
        };
        // Which part is wrong is told by position alone, since the text holds secrets.
        serde_json::from_slice(&text).map_err(|cause| {
            RegistryError::local(format!("{}:{}:{}: not valid JSON", self.file.display(), cause.line(), cause.column()))
        })
    }

    fn inline(&self) -> Result<Configuration> {
        match self.inline.as_deref().filter(|text| !text.is_empty()) {
            None => Ok(Configuration::default()),
            Some(text) => serde_json::from_str(text).map_err(|cause| {
                RegistryError::local(format!(
                    "DOCKER_AUTH_CONFIG is not valid JSON (line {}, column {})",
                    cause.line(),
                    cause.column()
                ))
            }),
        }
    }

    /// The credentials for a registry, by the key that Docker uses for it
    /// ([`crate::Reference::credentials_key`]); empty where there are none.
    ///
    /// # Errors
    /// [`RegistryError::Local`] when the configuration cannot be read or a helper fails.
    pub async fn of(&self, key: &str) -> Result<Login> {
        if let Some(found) = from_entries(&self.inline()?.auths, key) {
            return Ok(found);
        }
        let configuration = self.configuration()?;
        let helper = configuration.cred_helpers.get(key).unwrap_or(&configuration.creds_store);
        if !helper.is_empty() {
            if let Some(found) = ask(helper, key).await? {
                return Ok(found);
            }
            return Ok(Login::default());
        }
        Ok(from_entries(&configuration.auths, key).unwrap_or_default())
    }

    /// Every registry's credentials, for builds (`X-Registry-Config`).
    ///
    /// # Errors
    /// As [`Self::of`].
    pub async fn all(&self) -> Result<BTreeMap<String, Login>> {
        let mut all = BTreeMap::new();
        let configuration = self.configuration()?;
        let inline = self.inline()?;
        let keys = configuration.auths.keys().chain(configuration.cred_helpers.keys()).chain(inline.auths.keys());
        for key in keys {
            let found = self.of(key).await?;
            if found != Login::default() {
                all.insert(key.clone(), found);
            }
        }
        Ok(all)
    }
}

/// `https://host/v1/` and `host` are the same registry.
fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or_default()
}

fn from_entries(entries: &BTreeMap<String, Entry>, key: &str) -> Option<Login> {
    let entry = entries
        .get(key)
        .or_else(|| entries.iter().find(|(name, _)| host(name) == host(key)).map(|(_, entry)| entry))?;
    let mut found = Login {
        username: entry.username.clone(),
        password: entry.password.clone(),
        serveraddress: key.to_owned(),
        identitytoken: entry.identitytoken.clone(),
        registrytoken: entry.registrytoken.clone(),
    };
    if let Some((username, password)) = decode(&entry.auth) {
        found.username = username;
        found.password = password;
    }
    let empty = found.username.is_empty() && found.identitytoken.is_empty() && found.registrytoken.is_empty();
    (!empty).then_some(found)
}

fn decode(auth: &str) -> Option<(String, String)> {
    if auth.is_empty() {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// Asks `docker-credential-NAME`.
async fn ask(helper: &str, key: &str) -> Result<Option<Login>> {
    let program = format!("docker-credential-{helper}");
    let failed =
        |cause: std::io::Error| RegistryError::local(format!("cannot run the credential helper `{program}`: {cause}"));
    let mut child = tokio::process::Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its input has its reasons; its answer counts.
        match input.write_all(key.as_bytes()).await {
            Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => return Err(failed(cause)),
            _ => {}
        }
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let words = if said.trim().is_empty() { String::from_utf8_lossy(&output.stderr) } else { said };
        return Err(RegistryError::local(format!("the credential helper `{program}` failed: {}", words.trim())));
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout).map_err(|_| {
        RegistryError::local(format!("the credential helper `{program}` gave an answer that cannot be read"))
    })?;
    let mut found = Login { serveraddress: key.to_owned(), ..Login::default() };
    if answer.username == TOKEN_USER {
        found.identitytoken = answer.secret;
    } else {
        found.username = answer.username;
        found.password = answer.secret;
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(directory: &Path, key: &str) -> (String, String, String) {
        let found = Credentials::new(directory, None).of(key).await.expect("credentials");
        (found.username, found.password, found.identitytoken)
    }

    #[tokio::test]
    async fn credentials_are_found_by_host_however_the_key_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let auth = STANDARD.encode("me:se:cret");
        let text = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{auth}"}}, "http://host:5000/v2/": {{"auth": "{auth}"}}, "t": {{"identitytoken": "tok"}}}}}}"#
        );
        std::fs::write(directory.path().join("config.json"), text).expect("written");
        let me = ("me".to_owned(), "se:cret".to_owned(), String::new());
        assert_eq!(of(directory.path(), "https://index.docker.io/v1/").await, me);
        assert_eq!(of(directory.path(), "host:5000").await, me);
        assert_eq!(of(directory.path(), "t").await.2, "tok");
        assert_eq!(of(directory.path(), "elsewhere").await.0, "");
    }

    #[tokio::test]
    async fn a_broken_configuration_is_named_without_its_content() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("config.json"), "{\"auths\": {\"x\": {\"auth\": 5}}}").expect("written");
        let error = Credentials::new(directory.path(), None).of("x").await.err().expect("an error").to_string();
        assert!(error.contains("config.json:1:"), "{error}");
        assert!(!error.contains("auth\""), "{error}");
    }
}
