//! Plugins of the Docker command line: programs `docker-NAME` in certain directories.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where plugins may be, beside the user's own directories.
const DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    #[serde(rename = "cliPluginsExtraDirs")]
    directories: Vec<PathBuf>,
}

/// The directories with plugins, in the order in which they count: the user's, those of
/// `config.json`, those of the system.
#[must_use]
pub fn directories(config_directory: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(config_directory.join("config.json")).unwrap_or_default();
    let configuration: Configuration = serde_json::from_slice(&text).unwrap_or_default();
    let own = [config_directory.join("cli-plugins")].into_iter().chain(configuration.directories);
    own.chain(DIRECTORIES.map(PathBuf::from)).collect()
}

/// The plugin of this name (`buildx`), if one of the directories has it.
#[must_use]
pub fn find(directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    let program = format!("docker-{name}");
    directories.iter().map(|directory| directory.join(&program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_plugin_counts_before_those_of_further_directories() {
        let directory = tempfile::tempdir().expect("a directory");
        let (own, further) = (directory.path().join("cli-plugins"), directory.path().join("further"));
        let config = serde_json::json!({ "cliPluginsExtraDirs": [further] }).to_string();
        std::fs::write(directory.path().join("config.json"), config).expect("written");
        let found = || find(&directories(directory.path()), "no-such-plugin-elsewhere");
        assert_eq!(found(), None);
        for place in [&further, &own] {
            std::fs::create_dir(place).expect("made");
            std::fs::write(place.join("docker-no-such-plugin-elsewhere"), "").expect("written");
            assert_eq!(found(), Some(place.join("docker-no-such-plugin-elsewhere")));
        }
    }
}
